//! The fake through the wrapper that the agent uses: conversions, codes, missing symbols, raw texts, and the list of symbols.

use std::{collections::BTreeSet, ffi::c_char, fs, path::Path, ptr};

use batchstep_fake_nvml::FUNCTIONS;
use batchstep_tests::{elf, fake_nvml::device};
use nvml_wrapper::{
    Nvml,
    enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor},
    enums::device::UsedGpuMemory,
    error::{Bits, NvmlError},
};

use crate::fake;

pub fn open(path: &Path) -> Result<Nvml, NvmlError> {
    Nvml::builder().lib_path(path.as_os_str()).init()
}

#[test]
fn the_wrapper_reads_a_device() {
    let mut fake = fake(&format!(
        "{}processes = [{{ pid = 4711, used_bytes = 1024 }}, {{ pid = 4712 }}]\n",
        device("h200")
    ));
    let nvml = open(fake.nvml.load()).unwrap();
    assert_eq!(nvml.sys_driver_version().unwrap(), "590.48.01");
    assert_eq!(nvml.device_count().unwrap(), 1);
    let gpu = nvml.device_by_index(0).unwrap();
    assert_eq!(gpu.name().unwrap(), "NVIDIA H200");
    assert_eq!(gpu.memory_info().unwrap().total, 150_754_820_096);
    assert_eq!(gpu.memory_info().unwrap().reserved, 643_825_664);
    assert_eq!(gpu.max_clock_info(Clock::SM).unwrap(), 1980);
    assert_eq!(gpu.pci_info().unwrap().pci_device_id, 0x2335_10DE);
    assert_eq!(gpu.pci_info().unwrap().bus_id, "00000000:64:00.0");
    assert!(gpu.is_ecc_enabled().unwrap().currently_enabled);
    let processes = gpu.running_compute_processes().unwrap();
    assert_eq!(processes.len(), 2);
    assert_eq!(processes[0].pid, 4711);
    assert!(matches!(
        processes[0].used_gpu_memory,
        UsedGpuMemory::Used(1024)
    ));
    assert!(matches!(
        processes[1].used_gpu_memory,
        UsedGpuMemory::Unavailable
    ));
    assert!(matches!(
        gpu.mig_device_by_index(0).map(|_| ()),
        Err(NvmlError::NotFound)
    ));
}

#[test]
fn every_word_is_its_code() {
    for (word, matches) in [
        (
            "not_supported",
            (|error| matches!(error, NvmlError::NotSupported)) as fn(&NvmlError) -> bool,
        ),
        ("no_permission", |error| {
            matches!(error, NvmlError::NoPermission)
        }),
        ("gpu_is_lost", |error| matches!(error, NvmlError::GpuLost)),
        ("function_not_found", |error| {
            matches!(error, NvmlError::FunctionNotFound)
        }),
        ("timeout", |error| matches!(error, NvmlError::Timeout)),
        ("unknown", |error| matches!(error, NvmlError::Unknown)),
        ("reset_required", |error| {
            matches!(error, NvmlError::ResetRequired)
        }),
        ("corrupted_inforom", |error| {
            matches!(error, NvmlError::CorruptedInfoROM)
        }),
    ] {
        let mut fake = fake(&format!(
            "{}serial = {{ error = \"{word}\" }}\nfail = {{ nvmlDeviceGetName = \"{word}\" }}\n",
            device("t4")
        ));
        let nvml = open(fake.nvml.load()).unwrap();
        let gpu = nvml.device_by_index(0).unwrap();
        for error in [gpu.serial().unwrap_err(), gpu.name().unwrap_err()] {
            assert!(matches(&error), "{word}: {error:?}");
        }
        assert_eq!(gpu.num_cores().unwrap(), 2560, "{word}");
    }
}

#[test]
fn what_came_later_is_no_word_of_the_wrapper() {
    let mut fake = fake(&device("future"));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    for error in [
        gpu.architecture().map(|_| ()).unwrap_err(),
        gpu.brand().map(|_| ()).unwrap_err(),
        gpu.compute_mode().map(|_| ()).unwrap_err(),
        gpu.virtualization_mode().map(|_| ()).unwrap_err(),
        gpu.performance_state().map(|_| ()).unwrap_err(),
    ] {
        assert!(
            matches!(error, NvmlError::UnexpectedVariant(_)),
            "{error:?}"
        );
    }
    assert!(matches!(
        gpu.current_throttle_reasons_strict().unwrap_err(),
        NvmlError::IncorrectBits(Bits::U64(bits)) if bits == 1 << 40 | 4
    ));
    assert_eq!(gpu.current_throttle_reasons().unwrap().bits(), 4);
    assert_eq!(gpu.cuda_compute_capability().unwrap().major, 15);
}

#[test]
fn instances_are_devices_too() {
    let mut fake = fake(&device("a100_mig"));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    assert_eq!(gpu.mig_device_count().unwrap(), 7);
    let found: Vec<_> = (0..7)
        .filter_map(|slot| match gpu.mig_device_by_index(slot) {
            Ok(instance) => Some((slot, instance)),
            Err(NvmlError::NotFound) => None,
            Err(error) => panic!("slot {slot}: {error:?}"),
        })
        .collect();
    assert_eq!(
        found.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
        [0, 2, 5]
    );
    let (_, instance) = &found[2];
    assert_eq!(instance.name().unwrap(), "NVIDIA A100-SXM4-40GB MIG 1g.5gb");
    assert_eq!(instance.attributes().unwrap().multiprocessor_count, 14);
    assert_eq!(instance.memory_info().unwrap().total, 5_100_273_664);
    assert_eq!(
        instance.mig_parent_device().unwrap().uuid().unwrap(),
        gpu.uuid().unwrap()
    );
    let again = nvml.device_by_uuid(instance.uuid().unwrap()).unwrap();
    assert_eq!(again.uuid().unwrap(), instance.uuid().unwrap());
}

#[test]
fn symbols_are_those_of_the_list_and_can_be_taken_away() {
    let plain = fake("");
    let symbols = |path: &Path| elf::defined_symbols(&fs::read(path).unwrap());
    let known: BTreeSet<String> = FUNCTIONS.iter().map(|name| (*name).to_owned()).collect();
    let exported: BTreeSet<String> = symbols(plain.nvml.library())
        .into_iter()
        .filter(|name| name.starts_with("nvml"))
        .collect();
    assert_eq!(exported, known);

    let mut fake = fake(&device("h200"));
    fake.nvml = fake
        .nvml
        .without_symbols(&["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetArchitecture"]);
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    assert!(matches!(
        gpu.memory_info().unwrap_err(),
        NvmlError::FailedToLoadSymbol(_)
    ));
    assert!(matches!(
        gpu.architecture().unwrap_err(),
        NvmlError::FailedToLoadSymbol(_)
    ));
    assert_eq!(gpu.name().unwrap(), "NVIDIA H200");
    assert!(
        !symbols(fake.nvml.library()).contains("nvmlDeviceGetMemoryInfo_v2")
            && symbols(fake.nvml.library()).contains("nvmlDeviceGetMemoryInfo")
    );
}

#[test]
fn a_text_without_end_fills_the_buffer_and_not_more() {
    let mut fake = fake(&format!(
        "{}name_bytes = [78, 255, 33]\nserial = {{ bytes = [83, 0, 84] }}\n",
        device("t4")
    ));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    let name = nvml.lib().nvmlDeviceGetName.as_ref().unwrap();
    let mut buffer = [0x7A; 12];
    // SAFETY: two places less than the buffer has.
    let code = unsafe { name(gpu.handle(), buffer.as_mut_ptr(), 10) };
    assert_eq!(code, 0);
    let bytes = buffer.map(c_char::cast_unsigned);
    assert_eq!(bytes, *b"N\xFF!N\xFF!N\xFF!Nzz");

    let serial = nvml.lib().nvmlDeviceGetSerial.as_ref().unwrap();
    let mut buffer = [0x7A; 12];
    // SAFETY: as above.
    let code = unsafe { serial(gpu.handle(), buffer.as_mut_ptr(), 10) };
    assert_eq!(
        (code, buffer.map(c_char::cast_unsigned)),
        (0, *b"S\0Tzzzzzzzzz")
    );
}

#[test]
fn arguments_are_checked_and_sizes_told() {
    let mut fake = fake(&format!(
        "{}processes = [{{ pid = 1 }}, {{ pid = 2 }}, {{ pid = 3 }}]\n",
        device("h200")
    ));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    let lib = nvml.lib();
    let uuid = lib.nvmlDeviceGetUUID.as_ref().unwrap();
    let index = lib.nvmlDeviceGetIndex.as_ref().unwrap();
    let processes = lib
        .nvmlDeviceGetComputeRunningProcesses_v3
        .as_ref()
        .unwrap();
    let memory = lib.nvmlDeviceGetMemoryInfo_v2.as_ref().unwrap();
    let mut number = 0;
    let mut buffer = [0; 96];
    // SAFETY: every pointer is null or leads to what the call says.
    unsafe {
        assert_eq!(uuid(gpu.handle(), ptr::null_mut(), 96), 2);
        assert_eq!(
            uuid(gpu.handle(), buffer.as_mut_ptr(), 40),
            7,
            "40 and an end"
        );
        assert_eq!(uuid(gpu.handle(), buffer.as_mut_ptr(), 41), 0);
        assert_eq!(index(gpu.handle(), ptr::null_mut()), 2);
        assert_eq!(index(ptr::null_mut(), &raw mut number), 2);
        assert_eq!(
            index(ptr::without_provenance_mut(0x4E56), &raw mut number),
            2
        );

        assert_eq!(processes(gpu.handle(), ptr::null_mut(), ptr::null_mut()), 2);
        number = 0;
        assert_eq!(processes(gpu.handle(), &raw mut number, ptr::null_mut()), 7);
        assert_eq!(number, 3);
        assert_eq!(
            processes(gpu.handle(), &raw mut number, ptr::null_mut()),
            2,
            "room for 3 at null"
        );
        let mut items = [std::mem::zeroed(); 5];
        number = 2;
        assert_eq!(
            processes(gpu.handle(), &raw mut number, items.as_mut_ptr()),
            7
        );
        assert_eq!((number, items[0].pid), (3, 0), "nothing was written");
        number = 5;
        assert_eq!(
            processes(gpu.handle(), &raw mut number, items.as_mut_ptr()),
            0
        );
        assert_eq!((number, items.map(|item| item.pid)), (3, [1, 2, 3, 0, 0]));

        let mut info = std::mem::zeroed();
        assert_eq!(memory(gpu.handle(), &raw mut info), 25, "no version");
        info.version = 0x0200_0028;
        assert_eq!(memory(gpu.handle(), &raw mut info), 0);
    }
    assert!(matches!(
        nvml.device_by_index(1).map(|_| ()),
        Err(NvmlError::InvalidArg)
    ));
    assert!(matches!(
        nvml.device_by_uuid("GPU-0").map(|_| ()),
        Err(NvmlError::NotFound)
    ));
    assert!(matches!(
        nvml.device_by_pci_bus_id("00000000:00:01.0").map(|_| ()),
        Err(NvmlError::NotFound)
    ));
}

#[test]
fn items_of_another_size_come_under_the_same_name() {
    let mut fake = fake(&format!(
        "process_info_v3_size = 32\n{}processes = [{{ pid = 7, used_bytes = 70 }}, {{ pid = 8, used_bytes = 80 }}]\n",
        device("t4")
    ));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    let processes = nvml
        .lib()
        .nvmlDeviceGetComputeRunningProcesses_v3
        .as_ref()
        .unwrap();
    let mut words = [0_u64; 3 * 8];
    let mut count = 8;
    // SAFETY: 8 items of 3 words each.
    let code = unsafe { processes(gpu.handle(), &raw mut count, words.as_mut_ptr().cast()) };
    let nowhere = u64::MAX;
    assert_eq!((code, count), (0, 2));
    assert_eq!(words[..9], [7, 70, nowhere, 0, 8, 80, nowhere, 0, 0]);

    // An array that is full by the caller's count is not left.
    let mut words = [0x7A_u64; 8];
    let mut count = 2;
    // SAFETY: room for 2 items of 3 words each, and 2 words more.
    let code = unsafe { processes(gpu.handle(), &raw mut count, words.as_mut_ptr().cast()) };
    assert_eq!((code, count), (0, 2));
    assert_eq!(words, [7, 70, nowhere, 0, 8, 80, 0x7A, 0x7A]);
}

#[test]
fn wrong_numbers_come_through() {
    let mut fake = fake(&format!(
        "device_count = 4294967295\n{}temperature = -5\necc_growth_per_read = 3\nprocess_count = 4294967295\n",
        device("h200")
    ));
    let nvml = open(fake.nvml.load()).unwrap();
    assert_eq!(nvml.device_count().unwrap(), u32::MAX);
    let gpu = nvml.device_by_index(0).unwrap();
    let temperature = gpu.temperature(TemperatureSensor::Gpu).unwrap();
    assert_eq!(temperature.cast_signed(), -5);
    assert_eq!(gpu.running_compute_processes_count().unwrap(), u32::MAX);
    let errors = || {
        gpu.total_ecc_errors(MemoryError::Corrected, EccCounter::Aggregate)
            .unwrap()
    };
    assert_eq!([errors(), errors(), errors()], [3, 6, 9]);
}
