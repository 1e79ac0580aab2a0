//! One file per external tool: argument builders and output parsers, both pure.
