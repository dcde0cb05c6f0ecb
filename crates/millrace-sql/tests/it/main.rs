//! Whole scripts: what they are planned as, what they are refused with, and what they give.

mod cases;
mod ids;
mod runs;
mod support;
