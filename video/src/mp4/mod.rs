//! Packets of a source as fragmented MP4 (ISO/IEC 14496-12) for Media Source Extensions, without decoding them.
//!
//! libavformat takes the source apart and writes the init segment, which knows how each codec is described. The fragments,
//! one for each packet, are written here, straight into the message that is sent.

pub mod codecs;
pub mod fragment;
mod header;
pub mod input;
mod library;
pub mod parameters;
pub mod sample;
pub mod timeline;
pub mod track;

pub use input::Input;
pub use library::{Interrupt, silence};
pub use parameters::Parameters;
pub use track::{Fragment, Track};
