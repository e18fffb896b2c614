//! Symbols of a shared library: which there are, and taking some away, as in the library of an older driver. 64-bit little-endian ELF only, which is
//! what Linux machines with an NVIDIA driver have.

use std::{collections::BTreeSet, ops::Range};

const DYNAMIC_SYMBOLS: u32 = 11;
const SYMBOL: usize = 24;

/// The names of the functions that a library defines for others.
///
/// # Panics
/// Where it is no shared library.
#[must_use]
pub fn defined_symbols(library: &[u8]) -> BTreeSet<String> {
    let tables = tables(library);
    library[tables.symbols]
        .chunks_exact(SYMBOL)
        .filter(|symbol| u16::from_le_bytes([symbol[6], symbol[7]]) != 0)
        .map(|symbol| {
            let name = &library[tables.names.start + number(symbol, 0, 4)..tables.names.end];
            let end = name.iter().position(|byte| *byte == 0).expect("an end");
            String::from_utf8_lossy(&name[..end]).into_owned()
        })
        .collect()
}

/// Gives symbols another name of the same length, so that nobody finds them: the table of hashes, which is left as it is, leads to a name that does
/// not match.
///
/// # Panics
/// Where it is no shared library, or has no such symbol.
pub fn remove_symbols(library: &mut [u8], names: &[&str]) {
    let place = tables(library).names;
    let table = &mut library[place];
    for name in names {
        let whole: Vec<u8> = [0].into_iter().chain(name.bytes()).chain([0]).collect();
        let at = table
            .windows(whole.len())
            .position(|bytes| bytes == whole)
            .unwrap_or_else(|| panic!("the library has no symbol {name}"));
        table[at + 1] = b'_';
    }
}

struct Tables {
    symbols: Range<usize>,
    names: Range<usize>,
}

fn tables(library: &[u8]) -> Tables {
    assert!(
        library.starts_with(b"\x7fELF\x02\x01"),
        "no 64-bit little-endian ELF file"
    );
    let sections = number(library, 0x28, 8);
    let size = number(library, 0x3A, 2);
    let section = |index: usize| &library[sections + index * size..][..size];
    let place = |section: &[u8]| {
        let start = number(section, 0x18, 8);
        start..start + number(section, 0x20, 8)
    };
    let symbols = (0..number(library, 0x3C, 2))
        .map(section)
        .find(|section| number(section, 4, 4) == DYNAMIC_SYMBOLS as usize)
        .expect("a shared library has dynamic symbols");
    Tables {
        symbols: place(symbols),
        names: place(section(number(symbols, 0x28, 4))),
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    bytes[at..at + size]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}
