//! What libtorch's CUDA part was built for, read from its file: no driver, no GPU and not even its own dependencies are needed for that.
//!
//! PyTorch compiles nvcc's `-gencode` flags into the library, for `torch.__config__.show()`; the CUDA major version is in the name of the runtime
//! that it asks the loader for.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
};

use object::{Object as _, ObjectSection as _, ReadCache, read::elf::ElfFile64};

/// What a `libtorch_cuda.so` carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Compute capabilities with code of their own, as "9.0" or "9.0a", and "9.0+PTX" for what can be compiled for newer ones. As PyTorch's
    /// `TORCH_CUDA_ARCH_LIST` writes them, ascending.
    pub architectures: Vec<String>,
    /// Major version of CUDA.
    pub cuda_major: Option<u32>,
}

/// The `libtorch_cuda.so` beside the libtorch that this process has loaded.
#[must_use]
pub fn library() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps
        .lines()
        .filter_map(|line| line.find('/').map(|start| &line[start..]))
        .find(|path| path.ends_with("/libtorch_cpu.so"))?;
    let beside = Path::new(path).with_file_name("libtorch_cuda.so");
    beside.is_file().then_some(beside)
}

impl Built {
    /// Reads a library; `None` where it is no such library or does not tell.
    #[must_use]
    pub fn read(library: &Path) -> Option<Self> {
        let file = ReadCache::new(File::open(library).ok()?);
        let elf = ElfFile64::<object::Endianness, _>::parse(&file).ok()?;
        // Only these: the code for the GPUs is a hundred times larger.
        let section = |name| elf.section_by_name(name)?.data().ok();
        let architectures = architectures(section(".rodata")?);
        let cuda_major = section(".dynstr").and_then(cuda_major);
        (!architectures.is_empty()).then_some(Self {
            architectures,
            cuda_major,
        })
    }
}

/// The targets of "-gencode;arch=compute_90,code=sm_90;..".
fn architectures(data: &[u8]) -> Vec<String> {
    // Numbers first, so that 10.0 follows 9.0.
    let mut found: BTreeSet<(u32, String, bool)> = BTreeSet::new();
    for at in positions(data, b"code=") {
        let target: String = data[at..]
            .iter()
            .take(24)
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .map(|byte| char::from(*byte))
            .collect();
        let (number, is_ptx) = match (target.strip_prefix("sm_"), target.strip_prefix("compute_")) {
            (Some(number), _) => (number, false),
            (_, Some(number)) => (number, true),
            _ => continue,
        };
        let digits = number.len()
            - number
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .len();
        if let Ok(capability @ 10..) = number[..digits].parse::<u32>() {
            found.insert((capability, number[digits..].to_owned(), is_ptx));
        }
    }
    found
        .into_iter()
        .map(|(capability, suffix, is_ptx)| {
            let ptx = if is_ptx { "+PTX" } else { "" };
            format!("{}.{}{suffix}{ptx}", capability / 10, capability % 10)
        })
        .collect()
}

/// 13 of "libcudart.so.13".
fn cuda_major(names: &[u8]) -> Option<u32> {
    let at = positions(names, b"libcudart.so.").next()?;
    let digits: String = names[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .map(|byte| char::from(*byte))
        .collect();
    digits.parse().ok()
}

/// Where the bytes after each `needle` begin.
fn positions<'a>(data: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    data.windows(needle.len())
        .enumerate()
        .filter(move |(_, window)| *window == needle)
        .map(move |(at, _)| at + needle.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_order_and_each_once() {
        let flags = b"\0x-gencode;arch=compute_90,code=sm_90;-gencode;arch=compute_100,code=sm_100;-gencode;arch=compute_75,code=sm_75;\
            arch=compute_90a,code=sm_90a;arch=compute_120,code=compute_120\0code=sm_90;code=error code=sm_ code=sm_7";
        assert_eq!(
            architectures(flags),
            ["7.5", "9.0", "9.0a", "10.0", "12.0+PTX"]
        );
        assert!(architectures(b"code=").is_empty());
        assert_eq!(cuda_major(b"\0libcudart.so.13\0libcublas.so.13"), Some(13));
        assert_eq!(cuda_major(b"\0libcudart.so.\0"), None);
    }

    #[test]
    fn what_is_no_library_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Built::read(file.path()), None);
        assert_eq!(Built::read(Path::new("/nonexistent")), None);
        assert_eq!(Built::read(Path::new("/bin/true")), None);
    }

    #[test]
    fn the_installed_libtorch_tells_what_it_carries() {
        // Keeps libtorch loaded, as in the worker.
        assert!(tch::get_num_threads() > 0);
        let Some(library) = library() else {
            // A libtorch without CUDA, as a user may have.
            return;
        };
        let built = Built::read(&library).unwrap();
        // What `TORCH_CUDA_ARCH_LIST` of any libtorch 2.11 with CUDA holds.
        assert!(
            built.architectures.iter().any(|it| it == "9.0"),
            "{built:?}"
        );
        assert!(built.cuda_major.is_some_and(|major| major >= 11));
    }
}
