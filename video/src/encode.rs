//! A picture as JPEG and as base64 text.

use base64_simd::STANDARD;
use opencv::core::{CV_8UC1, CV_8UC3};
use opencv::prelude::*;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::capture::Picture;
use crate::error::Reason;

/// Makes JPEG of pictures, one at a time; keeps its buffer from one to the next.
#[derive(Debug)]
pub struct Encoder {
    compressor: Compressor,
    buffer: Vec<u8>,
}

impl Encoder {
    /// An encoder with 4:2:0 colour, which browsers decode fastest and the eye does not miss.
    ///
    /// # Errors
    /// TurboJPEG has no memory.
    pub fn new() -> Result<Self, Reason> {
        let mut compressor = Compressor::new()?;
        compressor.set_subsamp(Subsamp::Sub2x2);
        Ok(Self { compressor, buffer: Vec::new() })
    }

    /// The picture as JPEG of `quality` 1 to 100.
    ///
    /// # Errors
    /// [`Reason::PixelFormat`] for other than 8-bit BGR or grey; [`Reason::Jpeg`] for a side over 65,535 pixels.
    pub fn jpeg(&mut self, picture: &Picture, quality: u8) -> Result<&[u8], Reason> {
        let pixels = &picture.pixels;
        let (format, pixel_bytes) = match pixels.typ() {
            CV_8UC1 => (PixelFormat::GRAY, 1),
            CV_8UC3 => (PixelFormat::BGR, 3),
            other => return Err(Reason::PixelFormat(other)),
        };
        let side = |length: i32| usize::try_from(length).map_err(|_| Reason::PixelFormat(pixels.typ()));
        let (width, height) = (side(pixels.cols())?, side(pixels.rows())?);
        let image = Image { pixels: pixels.data_bytes()?, width, pitch: width * pixel_bytes, height, format };
        // TurboJPEG writes into a borrowed buffer without asking for its length: it must have the worst case's.
        let worst = self.compressor.buf_len(width, height)?;
        if self.buffer.len() < worst {
            self.buffer = vec![0; worst];
        }
        self.compressor.set_quality(i32::from(quality.clamp(1, 100)));
        let length = self.compressor.compress_to_slice(image, &mut self.buffer)?;
        Ok(&self.buffer[..length])
    }

    /// The picture as base64 of its JPEG.
    ///
    /// # Errors
    /// As [`Encoder::jpeg`].
    pub fn base64(&mut self, picture: &Picture, quality: u8) -> Result<String, Reason> {
        Ok(STANDARD.encode_to_string(self.jpeg(picture, quality)?))
    }
}
