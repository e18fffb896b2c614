"""Writes perceptron.pt: two fully connected layers, exported the way users export their networks (PyTorch 2.11.0)."""

import pathlib

import torch

torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
torch.jit.save(torch.jit.script(network), pathlib.Path(__file__).with_suffix(".pt"))
