//! A picture as JPEG and as base64 text.

use base64_simd::STANDARD;
use opencv::core::{CV_8UC1, CV_8UC3, Mat, Size};
use opencv::imgproc::{INTER_AREA, resize};
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

    /// A picture as JPEG of `quality` 1 to 100.
    ///
    /// # Errors
    /// [`Reason::PixelFormat`] for other than 8-bit BGR or grey; [`Reason::Jpeg`] for a side over 65,535 pixels.
    pub fn jpeg(&mut self, pixels: &Mat, quality: u8) -> Result<&[u8], Reason> {
        let channels = channels(pixels)?;
        let format = if channels == 1 { PixelFormat::GRAY } else { PixelFormat::BGR };
        let (width, height) = (side(pixels.cols())?, side(pixels.rows())?);
        let image = Image { pixels: pixels.data_bytes()?, width, pitch: width * channels, height, format };
        // TurboJPEG writes into a borrowed buffer without asking for its length: it must have the worst case's.
        let worst = self.compressor.buf_len(width, height)?;
        if self.buffer.len() < worst {
            self.buffer = vec![0; worst];
        }
        self.compressor.set_quality(i32::from(quality.clamp(1, 100)));
        let length = self.compressor.compress_to_slice(image, &mut self.buffer)?;
        Ok(&self.buffer[..length])
    }

    /// A picture as base64 of its JPEG.
    ///
    /// # Errors
    /// As [`Encoder::jpeg`].
    pub fn base64(&mut self, pixels: &Mat, quality: u8) -> Result<String, Reason> {
        Ok(STANDARD.encode_to_string(self.jpeg(pixels, quality)?))
    }
}

/// The bytes of a picture, for who draws on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// 3: blue, green and red. 1: grey.
    pub channels: usize,
    /// Row by row, without gaps.
    pub bytes: Vec<u8>,
}

/// A copy of a picture's bytes.
///
/// # Errors
/// [`Reason::PixelFormat`] for other than 8-bit BGR or grey.
pub fn pixels(pixels: &Mat) -> Result<Pixels, Reason> {
    let (width, height) = (side(pixels.cols())?, side(pixels.rows())?);
    Ok(Pixels { width, height, channels: channels(pixels)?, bytes: pixels.data_bytes()?.to_vec() })
}

/// A picture of a row of bytes for each line; it must have `height * width * channels`.
///
/// # Errors
/// It has not, a side is 0 or over 65,535, or there are neither 1 nor 3 channels.
pub fn picture_of(bytes: &[u8], width: usize, height: usize, channels: usize) -> Result<Mat, Reason> {
    let sides = (i32::from(u16::try_from(height).unwrap_or(0)), i32::from(u16::try_from(width).unwrap_or(0)));
    let fits = bytes.len() == width * height * channels && sides.0 > 0 && sides.1 > 0;
    let kind = match channels {
        1 if fits => CV_8UC1,
        3 if fits => CV_8UC3,
        _ => return Err(Reason::Shape { width, height, channels }),
    };
    let mut mat = Mat::new_rows_cols_with_default(sides.0, sides.1, kind, opencv::core::Scalar::default())?;
    mat.data_bytes_mut()?.copy_from_slice(bytes);
    Ok(mat)
}

/// A JPEG as a picture.
///
/// # Errors
/// It is none.
pub fn decoded(jpeg: &[u8]) -> Result<Mat, Reason> {
    let image = turbojpeg::decompress(jpeg, PixelFormat::BGR)?;
    picture_of(&image.pixels, image.width, image.height, 3)
}

/// A picture in the size that was asked for; where one side is not given, it keeps its shape. `scratch` takes what is
/// made.
///
/// # Errors
/// OpenCV raised an exception.
pub fn scaled<'a>(
    picture: &'a Picture,
    scratch: &'a mut Picture,
    width: Option<u16>,
    height: Option<u16>,
) -> Result<&'a Mat, Reason> {
    let (old_width, old_height) = (picture.pixels.cols(), picture.pixels.rows());
    let (new_width, new_height) = match (width.map(i32::from), height.map(i32::from)) {
        (None, None) => return Ok(&picture.pixels),
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, proportional(old_height, width, old_width)),
        (None, Some(height)) => (proportional(old_width, height, old_height), height),
    };
    if (new_width, new_height) == (old_width, old_height) {
        return Ok(&picture.pixels);
    }
    let size = Size::new(new_width, new_height);
    resize(&picture.pixels, &mut scratch.pixels, size, 0.0, 0.0, INTER_AREA)?;
    Ok(&scratch.pixels)
}

/// `side * part / whole`, rounded, at least 1.
fn proportional(side: i32, part: i32, whole: i32) -> i32 {
    let (side, part, whole) = (i64::from(side), i64::from(part), i64::from(whole.max(1)));
    i32::try_from((side * part + whole / 2) / whole).unwrap_or(i32::MAX).max(1)
}

fn channels(pixels: &Mat) -> Result<usize, Reason> {
    match pixels.typ() {
        CV_8UC1 => Ok(1),
        CV_8UC3 => Ok(3),
        other => Err(Reason::PixelFormat(other)),
    }
}

fn side(length: i32) -> Result<usize, Reason> {
    usize::try_from(length).map_err(|_| Reason::PixelFormat(-1))
}
