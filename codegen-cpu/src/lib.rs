//! Kernel IR to machine code for the CPU.

#![allow(dead_code)]
#[cfg(test)]
mod testing;
mod widen;
