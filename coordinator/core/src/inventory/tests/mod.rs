//! Stories about a lab: what reports mean, what is asked and found. Times, agents and documents are made up here; nothing else is.

mod filters;
mod health;
mod lab;
mod models;
mod properties;
mod stories;
mod views;
