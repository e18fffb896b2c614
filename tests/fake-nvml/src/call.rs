//! The way of every call: logged, blocked where the file says so, refused where the library or the device cannot answer, and never unwinding into C.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_enum_NVML_SUCCESS, nvmlReturn_t};

use crate::{
    answer::{Code, Text},
    config::World,
    device::{Device, MigInstance, Names},
    state::{Loaded, State, Target, log, state},
};

/// How often a call that hangs looks whether it still should.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The first driver with `_v3` of the process queries and `_v2` of memory.
const THIRD_VERSIONS: u32 = 510;

/// A device that a call reached, or an instance of it.
pub struct Gpu {
    /// The world that this call answers from.
    pub loaded: Arc<Loaded>,
    /// The device's place in it.
    pub index: usize,
    /// What the handle stands for.
    pub target: Target,
}

impl Gpu {
    /// The device itself, also of an instance.
    pub fn parent(&self) -> Result<&Device, Code> {
        self.loaded
            .world
            .devices
            .get(self.index)
            .ok_or(Code::GPU_IS_LOST)
    }

    /// The device, for what its instances cannot answer. Which queries these are is not documented for each; those that are answered for instances
    /// are the documented ones.
    pub fn whole(&self) -> Result<&Device, Code> {
        match self.target.slot {
            None => self.parent(),
            Some(_) => Err(Code::NOT_SUPPORTED),
        }
    }

    /// The instance, where the handle is one's.
    pub fn instance(&self) -> Result<Option<&MigInstance>, Code> {
        let Some(slot) = self.target.slot else {
            return Ok(None);
        };
        let mig = &self.parent()?.mig;
        mig.instances
            .iter()
            .find(|instance| instance.slot == slot)
            .map(Some)
            .ok_or(Code::NOT_FOUND)
    }
}

/// A call without a device, which needs an initialised library.
pub fn on_library(
    function: &str,
    answer: impl FnOnce(&Arc<Loaded>) -> Result<(), Code>,
) -> nvmlReturn_t {
    returned(|| {
        log(function, None);
        let loaded = wait(|loaded| names(&loaded.world.hang, function))?;
        ready(&state(), &loaded.world)?;
        fails(&loaded.world.fail, function)?;
        answer(&loaded)
    })
}

/// A call without a device that works before `nvmlInit`, too.
pub fn on_anything(
    function: &str,
    answer: impl FnOnce(&Arc<Loaded>) -> Result<(), Code>,
) -> nvmlReturn_t {
    returned(|| {
        log(function, None);
        let loaded = wait(|loaded| names(&loaded.world.hang, function))?;
        if state().driver_changed(&loaded.world) {
            return Err(Code::LIBRARY_RM_VERSION_MISMATCH);
        }
        fails(&loaded.world.fail, function)?;
        answer(&loaded)
    })
}

/// `nvmlInit`: hangs and fails like the others, and needs nothing.
pub fn on_init(function: &str) -> nvmlReturn_t {
    returned(|| {
        log(function, None);
        let loaded = wait(|loaded| names(&loaded.world.hang, function))?;
        fails(&loaded.world.fail, function)?;
        match loaded.world.init_error {
            Some(code) => Err(code),
            None => {
                state().initialise(&loaded.world);
                Ok(())
            }
        }
    })
}

/// `nvmlShutdown`: works whatever the driver is, and without a file.
pub fn on_shutdown(function: &str) -> nvmlReturn_t {
    returned(|| {
        log(function, None);
        if let Ok(loaded) = wait(|loaded| names(&loaded.world.hang, function)) {
            fails(&loaded.world.fail, function)?;
        }
        state().shut_down()
    })
}

/// A call on a device or an instance.
pub fn on_device(
    function: &str,
    handle: nvmlDevice_t,
    answer: impl FnOnce(&Gpu) -> Result<(), Code>,
) -> nvmlReturn_t {
    returned(|| {
        let target = state().target(handle.addr()).cloned();
        let key = target.as_ref().map(|target| target.key.clone());
        let place = |loaded: &Loaded| {
            loaded
                .keys
                .iter()
                .position(|known| key.as_ref() == Some(known))
        };
        let before = state().world();
        log(function, before.as_deref().and_then(place));
        let loaded = wait(|loaded| {
            let device = place(loaded).and_then(|index| loaded.world.devices.get(index));
            names(&loaded.world.hang, function)
                || device.is_some_and(|device| names(&device.hang, function))
        })?;
        ready(&state(), &loaded.world)?;
        let target = target.ok_or(Code::INVALID_ARGUMENT)?;
        // A device that is no longer in the file has left the bus.
        let index = place(&loaded).ok_or(Code::GPU_IS_LOST)?;
        let gpu = Gpu {
            loaded: Arc::clone(&loaded),
            index,
            target,
        };
        reachable(&gpu, true)?;
        fails(&loaded.world.fail, function)?;
        fails(&gpu.parent()?.fail, function)?;
        answer(&gpu)
    })
}

/// Whether a device answers at all; `counted` for the calls that reach it.
pub fn reachable(gpu: &Gpu, counted: bool) -> Result<(), Code> {
    let world = &gpu.loaded.world;
    let device = gpu.parent()?;
    if world.lost || device.lost {
        return Err(Code::GPU_IS_LOST);
    }
    match device.lost_after_calls.or(world.lost_after_calls) {
        Some(limit) if counted && state().reaches(&gpu.target.key, limit) => Err(Code::GPU_IS_LOST),
        _ => Ok(()),
    }
}

/// Whether the driver's library had the functions that came with 510.
pub fn since_510(world: &World) -> Result<(), Code> {
    let Ok(Text::Terminated(version)) = world.driver_version.get() else {
        return Ok(());
    };
    match version.split('.').next().map(str::parse::<u32>) {
        Some(Ok(major)) if major < THIRD_VERSIONS => Err(Code::FUNCTION_NOT_FOUND),
        _ => Ok(()),
    }
}

fn returned(call: impl FnOnce() -> Result<(), Code>) -> nvmlReturn_t {
    // State lives behind a lock that survives a panic.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => nvmlReturn_enum_NVML_SUCCESS,
        Ok(Err(code)) => code.0,
        Err(_) => Code::UNKNOWN.0,
    }
}

/// The world, once it no longer blocks the call.
fn wait(blocks: impl Fn(&Loaded) -> bool) -> Result<Arc<Loaded>, Code> {
    loop {
        let loaded = state().world().ok_or(Code::UNKNOWN)?;
        if !blocks(&loaded) {
            return Ok(loaded);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

fn ready(state: &State, world: &World) -> Result<(), Code> {
    if state.initialised == 0 {
        return Err(Code::UNINITIALIZED);
    }
    if state.driver_changed(world) {
        return Err(Code::LIBRARY_RM_VERSION_MISMATCH);
    }
    Ok(())
}

fn names(hang: &Names, function: &str) -> bool {
    hang.0.iter().any(|name| name == function)
}

fn fails(fail: &BTreeMap<String, Code>, function: &str) -> Result<(), Code> {
    match fail.get(function) {
        Some(code) => Err(*code),
        None => Ok(()),
    }
}
