//! What one query answers: a value, or one of NVML's errors. Every field of the file is one.

use std::fmt;

use nvml_wrapper_sys::bindings as nvml;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};

/// One of NVML's return codes, never success. In the file: a word of [`Code::WORDS`], or any other number as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($(#[doc = $doc:literal])? $name:ident $constant:ident $word:literal $text:literal)*) => {
        impl Code {
            $(
                #[doc = concat!("`", $word, "`.")]
                pub const $name: Self = Self(nvml::$constant);
            )*
            /// The words of the file and their codes.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$name)),*];

            /// What `nvmlErrorString` says.
            pub(crate) fn text(code: u32) -> &'static std::ffi::CStr {
                match code {
                    0 => c"Success",
                    $(nvml::$constant => $text,)*
                    _ => c"Unknown Error",
                }
            }
        }
    };
}

codes! {
    UNINITIALIZED nvmlReturn_enum_NVML_ERROR_UNINITIALIZED "uninitialized" c"Uninitialized"
    INVALID_ARGUMENT nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT "invalid_argument" c"Invalid Argument"
    NOT_SUPPORTED nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED "not_supported" c"Not Supported"
    NO_PERMISSION nvmlReturn_enum_NVML_ERROR_NO_PERMISSION "no_permission" c"Insufficient Permissions"
    NOT_FOUND nvmlReturn_enum_NVML_ERROR_NOT_FOUND "not_found" c"Not Found"
    INSUFFICIENT_SIZE nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE "insufficient_size" c"Insufficient Size"
    INSUFFICIENT_POWER nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_POWER "insufficient_power" c"Insufficient External Power"
    DRIVER_NOT_LOADED nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED "driver_not_loaded" c"Driver Not Loaded"
    TIMEOUT nvmlReturn_enum_NVML_ERROR_TIMEOUT "timeout" c"Timeout"
    IRQ_ISSUE nvmlReturn_enum_NVML_ERROR_IRQ_ISSUE "irq_issue" c"Interrupt Request Issue"
    LIBRARY_NOT_FOUND nvmlReturn_enum_NVML_ERROR_LIBRARY_NOT_FOUND "library_not_found" c"Shared Library Not Found"
    FUNCTION_NOT_FOUND nvmlReturn_enum_NVML_ERROR_FUNCTION_NOT_FOUND "function_not_found" c"Function Not Found"
    CORRUPTED_INFOROM nvmlReturn_enum_NVML_ERROR_CORRUPTED_INFOROM "corrupted_inforom" c"Corrupted infoROM"
    GPU_IS_LOST nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST "gpu_is_lost" c"GPU is lost"
    RESET_REQUIRED nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED "reset_required" c"GPU requires reset"
    OPERATING_SYSTEM nvmlReturn_enum_NVML_ERROR_OPERATING_SYSTEM "operating_system" c"Blocked by the operating system"
    LIBRARY_RM_VERSION_MISMATCH nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH "library_rm_version_mismatch" c"Driver/library version mismatch"
    IN_USE nvmlReturn_enum_NVML_ERROR_IN_USE "in_use" c"In use by another client"
    MEMORY nvmlReturn_enum_NVML_ERROR_MEMORY "memory" c"Insufficient Memory"
    NO_DATA nvmlReturn_enum_NVML_ERROR_NO_DATA "no_data" c"No data"
    INSUFFICIENT_RESOURCES nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_RESOURCES "insufficient_resources" c"Insufficient Resources"
    ARGUMENT_VERSION_MISMATCH nvmlReturn_enum_NVML_ERROR_ARGUMENT_VERSION_MISMATCH
        "argument_version_mismatch" c"Version mismatch between input/output arguments"
    DEPRECATED nvmlReturn_enum_NVML_ERROR_DEPRECATED "deprecated" c"Deprecated"
    NOT_READY nvmlReturn_enum_NVML_ERROR_NOT_READY "not_ready" c"System is not ready"
    GPU_NOT_FOUND nvmlReturn_enum_NVML_ERROR_GPU_NOT_FOUND "gpu_not_found" c"No GPUs found"
    INVALID_STATE nvmlReturn_enum_NVML_ERROR_INVALID_STATE "invalid_state" c"Invalid state"
    UNKNOWN nvmlReturn_enum_NVML_ERROR_UNKNOWN "unknown" c"Unknown Error"
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) => Self::WORDS
                .iter()
                .find(|(known, _)| *known == word)
                .map(|(_, code)| *code)
                .ok_or_else(|| {
                    let words: Vec<_> = Self::WORDS.iter().map(|(word, _)| *word).collect();
                    D::Error::custom(format!(
                        "no error is called `{word}`; there are {}",
                        words.join(", ")
                    ))
                }),
            toml::Value::Integer(number) => match u32::try_from(number) {
                Ok(number) if number > 0 => Ok(Self(number)),
                _ => Err(D::Error::custom(format!("{number} is no error's number"))),
            },
            other => Err(D::Error::custom(format!(
                "an error is a word or a number, not {}",
                other.type_str()
            ))),
        }
    }
}

/// A value, or the error in its place. A field that neither the file nor the preset has answers `not_supported`.
///
/// In the file: the value, or `{ error = "word" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// What the query finds.
    Value(T),
    /// What the query returns instead.
    Error(Code),
}

impl<T> Answer<T> {
    /// The value, or the code in its place.
    ///
    /// # Errors
    /// The code that the query returns.
    pub fn get(&self) -> Result<&T, Code> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Error(code) => Err(*code),
        }
    }

    /// The value, where there is one.
    pub fn value(&self) -> Option<&T> {
        self.get().ok()
    }
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self::Error(Code::NOT_SUPPORTED)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Answer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        match value.get("error") {
            Some(error) => error
                .clone()
                .try_into()
                .map(Self::Error)
                .map_err(|error: toml::de::Error| D::Error::custom(error.message())),
            None => value
                .try_into()
                .map(Self::Value)
                .map_err(|error: toml::de::Error| D::Error::custom(error.to_string().trim())),
        }
    }
}

/// What a query writes as text. In the file: a string, or `{ bytes = [..] }` for bytes that are written as they are, without a terminator unless the
/// list has a 0: without one they are repeated to the end of the caller's buffer, which then has no end of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// Written with a terminator, or `insufficient_size`.
    Terminated(String),
    /// Written as they are.
    Raw(Vec<u8>),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bytes {
            bytes: Vec<u8>,
        }
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) if text.contains('\0') => {
                Err(D::Error::custom("a text with a NUL is written as bytes"))
            }
            toml::Value::String(text) => Ok(Self::Terminated(text)),
            other if !other.is_table() => Err(D::Error::custom(format!(
                "a text is a string or {{ bytes = [..] }}, not {}",
                other.type_str()
            ))),
            table => {
                let bytes: Bytes = table
                    .try_into()
                    .map_err(|error: toml::de::Error| D::Error::custom(error.message()))?;
                if bytes.bytes.is_empty() {
                    return Err(D::Error::custom("`bytes` is empty"));
                }
                Ok(Self::Raw(bytes.bytes))
            }
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminated(text) => formatter.write_str(text),
            Self::Raw(bytes) => formatter.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}
