"""The same networks, data and updates as batchstep-worker, as people write them in PyTorch: the yardstick of the benchmark.

One block per line `go` on standard input, one JSON line per block on standard output, like the worker's example `loop`:

    python python_loop.py --workload linear --batch-size 32 --threads 1 --blocks 30 --iterations 1000
"""

import argparse
import json
import math
import sys
import time

import torch
from torch import nn


def parse_workload(text):
    """`name:key=value,..` as a name and a dictionary of numbers."""
    name, _, rest = text.partition(":")
    pairs = (part.split("=", 1) for part in rest.split(",") if part)
    return name, {key: int(value) for key, value in pairs}


class Cnn(nn.Module):
    """One convolution; four times (convolution, batch normalisation, tanh, max pooling); three fully connected layers."""

    def __init__(self, image=256, width=8, classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        stages, channels = [], width
        for wider in (2 * width, 4 * width, 8 * width, 8 * width):
            stages.append(
                nn.Sequential(
                    nn.Conv2d(channels, wider, 3, padding=1), nn.BatchNorm2d(wider), nn.Tanh(), nn.MaxPool2d(2)
                )
            )
            channels = wider
        self.stages = nn.Sequential(*stages)
        self.connected = nn.Sequential(
            nn.Linear(channels * (image // 16) ** 2, 16 * width),
            nn.Tanh(),
            nn.Linear(16 * width, 8 * width),
            nn.Tanh(),
            nn.Linear(8 * width, classes),
        )

    def forward(self, x):
        return self.connected(torch.flatten(self.stages(self.first(x)), 1))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each with batch normalisation, added to the input."""

    def __init__(self, inputs, inner, stride):
        super().__init__()
        outputs = 4 * inner
        self.narrow = nn.Conv2d(inputs, inner, 1, bias=False)
        self.narrow_norm = nn.BatchNorm2d(inner)
        self.middle = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.middle_norm = nn.BatchNorm2d(inner)
        self.wide = nn.Conv2d(inner, outputs, 1, bias=False)
        self.wide_norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = None
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.relu(self.narrow_norm(self.narrow(x)))
        y = self.relu(self.middle_norm(self.middle(y)))
        y = self.wide_norm(self.wide(y))
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


class ResNet50(nn.Module):
    """ResNet-50 with the stride in the 3x3 convolution of a bottleneck."""

    def __init__(self, image=224, classes=1000):
        super().__init__()
        del image
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks, channels = [], 64
        for stage, (count, inner) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
            for index in range(count):
                blocks.append(Bottleneck(channels, inner, 2 if stage > 0 and index == 0 else 1))
                channels = 4 * inner
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(channels, classes)

    def forward(self, x):
        return self.last(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


def build(name, parameters):
    """The network, the shape of a sample, the standard deviation of inputs, the loss, a function making targets, and the step size."""
    if name == "linear":
        inputs, outputs = parameters.get("inputs", 512), parameters.get("outputs", 512)
        network = nn.Linear(inputs, outputs)
        return network, (inputs,), 1 / math.sqrt(inputs), nn.MSELoss(), lambda rows: torch.randn(rows, outputs), 0.05 * outputs
    if name == "cnn":
        network, image, classes = Cnn(**parameters), parameters.get("image", 256), parameters.get("classes", 10)
    elif name == "resnet50":
        network, image, classes = ResNet50(**parameters), parameters.get("image", 224), parameters.get("classes", 1000)
    else:
        sys.exit(f"unknown workload {name}; known: linear, cnn, resnet50")
    return network, (3, image, image), 1.0, nn.CrossEntropyLoss(), lambda rows: torch.randint(classes, (rows,)), 0.01


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--workload", default="linear")
    arguments.add_argument("--mode", choices=("train", "infer"), default="train")
    arguments.add_argument("--batch-size", type=int, default=32)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--blocks", type=int, default=2**32 - 1)
    arguments.add_argument("--iterations", type=int, default=None)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    network, shape, scale, loss_function, make_target, step_size = build(*parse_workload(options.workload))
    # As the worker sets them for f32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = False
    network = network.to(options.device)
    x = (torch.randn(options.batch_size, *shape) * scale).to(options.device)
    target = make_target(options.batch_size).to(options.device)
    synchronize = torch.cuda.synchronize if options.device == "cuda" else lambda: None
    optimizer = torch.optim.SGD(network.parameters(), lr=step_size)

    def train():
        optimizer.zero_grad()
        loss = loss_function(network(x), target)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def infer():
        network(x)

    network.train(options.mode == "train")
    iterate = train if options.mode == "train" else infer

    fastest, warmed, count = math.inf, 0.0, 0
    while count < 3 or warmed < 0.2:
        began = time.perf_counter()
        iterate()
        synchronize()
        elapsed = time.perf_counter() - began
        fastest, warmed, count = min(fastest, elapsed), warmed + elapsed, count + 1
    iterations = options.iterations or max(3, math.ceil(0.1 / fastest))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(json.dumps({"ready": True, "iterations": iterations, "parameters": parameters}), flush=True)

    for number, line in zip(range(options.blocks), sys.stdin):
        if line.strip() != "go":
            sys.exit(f"unknown command {line.strip()!r}; known: go")
        synchronize()
        began = time.perf_counter()
        for _ in range(iterations):
            iterate()
        synchronize()
        elapsed = time.perf_counter() - began
        print(
            json.dumps({"block": number, "iterations": iterations, "seconds_per_iteration": elapsed / iterations}),
            flush=True,
        )


if __name__ == "__main__":
    main()
