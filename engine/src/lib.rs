//! Decides. (Story follows.)
pub mod host;
pub mod tools;
