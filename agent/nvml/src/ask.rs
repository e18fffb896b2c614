//! One reading after the other of one device: values into a record, errors into reasons, and what can never be read is not asked again.

use std::{
    collections::BTreeMap,
    ffi::{c_char, c_uint},
    ops::RangeInclusive,
};

use batchstep_proto::inventory::{
    Absent, Class, Field, Gpu, GpuProcess, Key, Reading, Record, Scope, Typed,
};
use nvml_wrapper::{
    Device, Nvml,
    error::{NvmlError, nvml_sym, nvml_try},
};
use nvml_wrapper_sys::bindings::{NvmlLib, nvmlDevice_t, nvmlReturn_t};

use crate::{
    fault,
    guard::{self, Text},
};

/// A function of the loaded library, or why it has none.
pub(crate) type Symbol<F> = Result<F, libloading::Error>;
type TextFunction = unsafe extern "C" fn(nvmlDevice_t, *mut c_char, c_uint) -> nvmlReturn_t;
type NumberFunction = unsafe extern "C" fn(nvmlDevice_t, *mut c_uint) -> nvmlReturn_t;

/// Temperatures that silicon works at, °C.
pub(crate) const CELSIUS: RangeInclusive<f64> = -60.0..=200.0;

/// Most problems that are told of one device.
const PROBLEMS: usize = 32;

/// Which device a reading belongs to: NVML's number, and the slot of a MIG instance on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) slot: Option<u32>,
}

/// What a session need not ask again: only what a device or library cannot do, since everything else may come back.
#[derive(Debug, Default)]
pub(crate) struct Absences(BTreeMap<(Place, &'static str), Absent>);

impl Absences {
    /// Asks everything of a GPU and its instances anew.
    pub(crate) fn forget(&mut self, index: u32) {
        self.0.retain(|(place, _), _| place.index != index);
    }
}

/// Asks one device.
pub(crate) struct Asker<'a> {
    pub(crate) nvml: &'a Nvml,
    pub(crate) device: &'a Device<'a>,
    place: Place,
    absences: &'a mut Absences,
    pub(crate) record: Record,
    pub(crate) problems: Vec<String>,
    /// The device does not answer any more: it is not asked again.
    pub(crate) lost: bool,
    /// Nothing answers any more.
    pub(crate) broken: Option<NvmlError>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(
        nvml: &'a Nvml,
        device: &'a Device<'a>,
        place: Place,
        absences: &'a mut Absences,
    ) -> Self {
        Self {
            nvml,
            device,
            place,
            absences,
            record: Record::new(Scope::Gpu),
            problems: Vec::new(),
            lost: false,
            broken: None,
        }
    }

    pub(crate) fn lib(&self) -> &'a NvmlLib {
        self.nvml.lib()
    }

    /// NVML's handle of the device, for functions that the wrapper lacks.
    pub(crate) fn handle(&self) -> nvmlDevice_t {
        // SAFETY: the handle is only passed to functions of the same library while the session lives.
        unsafe { self.device.handle() }
    }

    /// One question; `what` names it in problems and in what is remembered.
    pub(crate) fn attempt<T>(
        &mut self,
        what: &'static Field,
        read: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>,
    ) -> Reading<T> {
        if self.lost || self.broken.is_some() {
            return Err(Absent::Lost);
        }
        if let Some(reason) = self.absences.0.get(&(self.place, what.name)) {
            return Err(*reason);
        }
        read(self.device).map_err(|error| self.note(what, error))
    }

    fn note(&mut self, what: &'static Field, error: NvmlError) -> Absent {
        let reason = fault::reason(&error);
        if fault::is_lasting(&error) {
            self.absences.0.insert((self.place, what.name), reason);
        } else if fault::is_lost(&error) {
            self.lost = true;
        } else if fault::ends_session(&error) {
            self.broken = Some(error);
        } else if reason == Absent::Unknown {
            self.problem(format!("{}: {error}", what.name));
        }
        reason
    }

    /// Reads a field.
    pub(crate) fn read<T: Typed>(
        &mut self,
        key: Key<T>,
        read: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>,
    ) {
        let reading = self.attempt(key.field(), read);
        self.record.set(key, reading);
    }

    /// Reads a count.
    pub(crate) fn count(
        &mut self,
        key: Key<u64>,
        read: impl FnOnce(&Device<'a>) -> Result<u32, NvmlError>,
    ) {
        self.read(key, |device| read(device).map(u64::from));
    }

    /// Reads a count of what there is at least one of.
    pub(crate) fn positive(
        &mut self,
        key: Key<u64>,
        read: impl FnOnce(&Device<'a>) -> Result<u32, NvmlError>,
    ) {
        let reading = self.attempt(key.field(), read).map(u64::from);
        let reading = self.plausible(key, reading, 1..=u64::from(u32::MAX));
        self.record.set(key, reading);
    }

    /// Reads power in milliwatts.
    pub(crate) fn power(
        &mut self,
        key: Key<f64>,
        read: impl FnOnce(&Device<'a>) -> Result<u32, NvmlError>,
    ) {
        let reading = self.attempt(key.field(), read);
        self.set_watts(key, reading);
    }

    /// Notes power in milliwatts. 10 kW is more than any board draws.
    pub(crate) fn set_watts(&mut self, key: Key<f64>, reading: Reading<u32>) {
        let watts = reading.map(|milliwatts| f64::from(milliwatts) / 1e3);
        let watts = self.plausible(key, watts, 0.0..=10_000.0);
        self.record.set(key, watts);
    }

    /// Reads a temperature. NVML's type has no sign, its values have one.
    pub(crate) fn temperature(
        &mut self,
        key: Key<f64>,
        read: impl FnOnce(&Device<'a>) -> Result<u32, NvmlError>,
    ) {
        let reading = self.attempt(key.field(), read);
        let celsius = reading.map(|bits| f64::from(bits.cast_signed()));
        let celsius = self.plausible(key, celsius, CELSIUS);
        self.record.set(key, celsius);
    }

    /// Reads a clock in MHz.
    pub(crate) fn clock(
        &mut self,
        key: Key<u64>,
        read: impl FnOnce(&Device<'a>) -> Result<u32, NvmlError>,
    ) {
        let reading = self.attempt(key.field(), read).map(u64::from);
        // A sleeping clock stands still; the highest one does not.
        let least = u64::from(key.field().class != Class::Live);
        let reading = self.plausible(key, reading, least..=20_000);
        self.record.set(key, reading);
    }

    /// Reads a share in percent.
    pub(crate) fn percent(&mut self, key: Key<u64>, reading: Reading<u32>) {
        // Fans may turn faster than their nominal speed.
        let reading = self.plausible(key, reading.map(u64::from), 0..=1000);
        self.record.set(key, reading);
    }

    /// A value within bounds; one outside is a problem and unknown.
    pub(crate) fn plausible<T: PartialOrd + std::fmt::Display>(
        &mut self,
        key: Key<impl Typed>,
        reading: Reading<T>,
        bounds: RangeInclusive<T>,
    ) -> Reading<T> {
        match reading {
            Ok(value) if !bounds.contains(&value) => {
                // A problem lasts, and a live value does not: its number would make another problem of each look.
                let value = if key.field().class == Class::Live {
                    "what it says".to_owned()
                } else {
                    value.to_string()
                };
                self.problem(format!(
                    "{}: {value} is not between {} and {}",
                    key.field().name,
                    bounds.start(),
                    bounds.end()
                ));
                Err(Absent::Unknown)
            }
            other => other,
        }
    }

    /// Reads a text.
    pub(crate) fn text(
        &mut self,
        key: Key<String>,
        read: impl FnOnce(&NvmlLib, nvmlDevice_t) -> Result<Text, NvmlError>,
    ) {
        let (lib, handle) = (self.lib(), self.handle());
        let reading = self.attempt(key.field(), |_| read(lib, handle));
        let reading = self.readable(key, reading);
        self.record.set(key, reading);
    }

    /// Makes a text that came out of C a value, and its flaws a problem. An empty one is none.
    pub(crate) fn readable(&mut self, key: Key<String>, text: Reading<Text>) -> Reading<String> {
        let text = text?;
        if let Some(flaw) = text.flaw(key.field()) {
            self.problem(flaw);
        }
        if text.text.is_empty() {
            Err(Absent::NotSupported)
        } else {
            Ok(text.text)
        }
    }

    /// Reads an enumeration by its raw number, so that a newer one than this program knows is told as what it is.
    pub(crate) fn word(
        &mut self,
        key: Key<String>,
        words: &[(u32, &str)],
        function: impl FnOnce(&NvmlLib) -> &Symbol<NumberFunction>,
    ) {
        let reading = self.number(key.field(), function);
        let word = reading.map(|number| word(words, number));
        self.record.set(key, word);
    }

    /// Asks with a function that writes a text.
    pub(crate) fn text_by(
        &mut self,
        key: Key<String>,
        function: impl FnOnce(&NvmlLib) -> &Symbol<TextFunction>,
    ) {
        self.text(key, |lib, handle| {
            let function = nvml_sym(function(lib).as_ref())?;
            // SAFETY: the handle is of this library; the buffer is longer than the length that is passed.
            guard::text(|text, length| unsafe { function(handle, text, length) })
        });
    }

    /// Asks with a function that writes an integer.
    pub(crate) fn number(
        &mut self,
        what: &'static Field,
        function: impl FnOnce(&NvmlLib) -> &Symbol<NumberFunction>,
    ) -> Reading<u32> {
        let (lib, handle) = (self.lib(), self.handle());
        self.attempt(what, |_| {
            let function = nvml_sym(function(lib).as_ref())?;
            // SAFETY: the handle is of this library; NVML writes one integer of this width.
            number(|out| unsafe { function(handle, out) })
        })
    }

    /// Reads a count with such a function.
    pub(crate) fn count_by(
        &mut self,
        key: Key<u64>,
        function: impl FnOnce(&NvmlLib) -> &Symbol<NumberFunction>,
    ) {
        let reading = self.number(key.field(), function).map(u64::from);
        self.record.set(key, reading);
    }

    /// Asks a MIG instance of this device.
    pub(crate) fn for_instance<'b>(
        &'b mut self,
        device: &'b Device<'b>,
        place: Place,
    ) -> Asker<'b> {
        Asker::new(self.nvml, device, place, self.absences)
    }

    /// What was read.
    pub(crate) fn finish(self, processes: Vec<GpuProcess>) -> Gpu {
        Gpu {
            processes,
            problems: self.problems,
            ..Gpu::new(self.record)
        }
    }

    pub(crate) fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// The word for a number of an enumeration; of one that is newer than this program the number.
pub(crate) fn word(words: &[(u32, &str)], number: u32) -> String {
    words
        .iter()
        .find(|(known, _)| *known == number)
        .map_or_else(
            || format!("unknown ({number})"),
            |(_, word)| (*word).to_owned(),
        )
}

/// An integer that a function writes.
pub(crate) fn number(call: impl FnOnce(*mut u32) -> u32) -> Result<u32, NvmlError> {
    let mut out = 0;
    nvml_try(call(&raw mut out))?;
    Ok(out)
}
