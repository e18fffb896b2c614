//! Length-delimited messages on the socket between an agent and its worker: a big-endian `u32` length, then the encoded message.
//!
//! [`read`] and [`write`] serve the worker, which is synchronous; the agent reads the same frames with [`encode`] and [`Decoder`].

use std::io::{self, Read, Write};

use prost::Message;

use crate::limits::FRAME_BYTES;

/// Bytes of the length in front of a message.
const PREFIX: usize = 4;

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed or closed in the middle of a frame.
    #[error("the socket failed within a frame")]
    Io(#[from] io::Error),
    /// The announced length is above [`FRAME_BYTES`].
    #[error("a frame of {0} bytes was announced, more than the {FRAME_BYTES} allowed")]
    TooLong(usize),
    /// The bytes are not the expected message.
    #[error("a frame does not hold the expected message")]
    Decode(#[from] prost::DecodeError),
}

/// The bytes of one frame.
#[must_use]
pub fn encode(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(PREFIX + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes
}

/// Writes one frame and flushes it.
///
/// # Errors
/// When the socket fails.
pub fn write(socket: &mut impl Write, message: &impl Message) -> io::Result<()> {
    socket.write_all(&encode(message))?;
    socket.flush()
}

/// Reads one frame; `None` when the other side has closed between frames.
///
/// # Errors
/// When the socket fails or closes within a frame, and when the frame is too long or does not decode.
pub fn read<M: Message + Default>(socket: &mut impl Read) -> Result<Option<M>, FrameError> {
    let mut prefix = [0_u8; PREFIX];
    let mut filled = 0;
    while filled < PREFIX {
        match socket.read(&mut prefix[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = checked_length(prefix)?;
    let mut body = vec![0; length];
    socket.read_exact(&mut body)?;
    Ok(Some(M::decode(body.as_slice())?))
}

/// Takes bytes as they arrive and gives back whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Appends what was read from the socket.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the frame is too long or does not decode; the stream is then of no further use.
    pub fn next_message<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = checked_length(*prefix)?;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = M::decode(body)?;
        self.buffer.drain(..PREFIX + length);
        Ok(Some(message))
    }

    /// True when no partial frame is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

fn checked_length(prefix: [u8; PREFIX]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > FRAME_BYTES {
        Err(FrameError::TooLong(length))
    } else {
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Block, Visit};

    #[test]
    fn frames_survive_any_split() {
        let blocks: Vec<Block> = (0..5)
            .map(|n| Block {
                visit: n,
                elapsed_ns: 1 << n,
                ..Block::default()
            })
            .collect();
        let bytes: Vec<u8> = blocks.iter().flat_map(encode).collect();
        for chunk in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(chunk) {
                decoder.extend(part);
                while let Some(block) = decoder.next_message::<Block>().unwrap() {
                    seen.push(block);
                }
            }
            assert_eq!(seen, blocks);
            assert!(decoder.is_empty());
        }
        let mut reader = bytes.as_slice();
        for block in &blocks {
            assert_eq!(read::<Block>(&mut reader).unwrap().as_ref(), Some(block));
        }
        assert!(read::<Block>(&mut reader).unwrap().is_none());
    }

    #[test]
    fn oversized_truncated_and_garbage_frames_are_errors() {
        let mut decoder = Decoder::default();
        decoder.extend(&u32::MAX.to_be_bytes());
        assert!(matches!(
            decoder.next_message::<Visit>(),
            Err(FrameError::TooLong(_))
        ));
        let whole = encode(&Visit {
            batch_size: 3,
            ..Visit::default()
        });
        assert!(matches!(
            read::<Visit>(&mut &whole[..whole.len() - 1]),
            Err(FrameError::Io(_))
        ));
        assert!(matches!(
            read::<Visit>(&mut &[0, 0, 0, 2, 0xff, 0xff][..]),
            Err(FrameError::Decode(_))
        ));
    }
}
