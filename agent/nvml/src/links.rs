//! NVLinks, and how the GPUs of a host reach each other.

use batchstep_proto::inventory::{NvLink, Peer, catalogue::gpu};
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper_sys::bindings::{self, NvmlLib, nvmlDevice_t};

use crate::{
    ask::{Asker, number, word},
    card,
};

/// More than any GPU has; NVML says `InvalidArg` after the last.
const MOST_LINKS: u32 = 64;
/// `NVML_P2P_CAPS_INDEX_READ`.
const PEER_READ: u32 = 0;

const REMOTE_TYPES: &[(u32, &str)] = &[(0, "gpu"), (1, "ibmnpu"), (2, "switch"), (255, "unknown")];

const TOPOLOGY: &[(u32, &str)] = &[
    (0, "internal"),
    (10, "single_switch"),
    (20, "multiple_switches"),
    (30, "host_bridge"),
    (40, "numa_node"),
    (50, "system"),
];

const PEER_STATUS: &[(u32, &str)] = &[
    (bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_OK, "ok"),
    (
        bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_CHIPSET_NOT_SUPPORTED,
        "chipset_not_supported",
    ),
    (
        bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_GPU_NOT_SUPPORTED,
        "gpu_not_supported",
    ),
    (
        bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_IOH_TOPOLOGY_NOT_SUPPORTED,
        "topology_not_supported",
    ),
    (
        bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_DISABLED_BY_REGKEY,
        "disabled",
    ),
    (
        bindings::nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_NOT_SUPPORTED,
        "not_supported",
    ),
];

/// The NVLinks of a GPU, counted in its record.
pub(crate) fn links(asker: &mut Asker<'_>) -> Vec<NvLink> {
    let (lib, handle) = (asker.lib(), asker.handle());
    let mut links = Vec::new();
    let mut none = None;
    for link in 0..MOST_LINKS {
        let state = asker.attempt(gpu::NVLINK_COUNT.field(), |_| {
            let function = nvml_sym(lib.nvmlDeviceGetNvLinkState.as_ref())?;
            // SAFETY (and of every `number` below): NVML writes one integer of this width.
            match number(|out| unsafe { function(handle, link, out) }) {
                Ok(state) => Ok(Some(Some(state == 1))),
                Err(NvmlError::InvalidArg) => Ok(None),
                // Cards with NVLink may leave out single ones; cards without say so at the first.
                Err(NvmlError::NotSupported) if link > 0 => Ok(Some(None)),
                Err(error) => Err(error),
            }
        });
        match state {
            Ok(Some(Some(active))) => links.push(self::link(asker, link, active)),
            Ok(Some(None)) => {}
            Ok(None) => break,
            Err(reason) => {
                none = Some(reason);
                break;
            }
        }
    }
    let count = match none {
        Some(reason) if links.is_empty() => Err(reason),
        _ => Ok(links.len() as u64),
    };
    let active = links
        .iter()
        .filter(|link| link.active == Some(true))
        .count() as u64;
    asker.record.set(gpu::NVLINK_COUNT, count);
    asker.record.set(gpu::NVLINK_ACTIVE, count.map(|_| active));
    links
}

fn link(asker: &Asker<'_>, link: u32, active: bool) -> NvLink {
    let (lib, handle) = (asker.lib(), asker.handle());
    // What a link that is down does not tell is no problem.
    let version = nvml_sym(lib.nvmlDeviceGetNvLinkVersion.as_ref())
        .and_then(|function| number(|out| unsafe { function(handle, link, out) }));
    let remote = nvml_sym(lib.nvmlDeviceGetNvLinkRemoteDeviceType.as_ref())
        .and_then(|function| number(|out| unsafe { function(handle, link, out) }));
    let address = nvml_sym(lib.nvmlDeviceGetNvLinkRemotePciInfo_v2.as_ref()).and_then(
        // SAFETY: zeros are valid for a structure of integers and characters; NVML fills one of this layout.
        |function| unsafe {
            let mut info: bindings::nvmlPciInfo_t = std::mem::zeroed();
            nvml_try(function(handle, link, &raw mut info))?;
            Ok(card::address(info.domain, info.bus, info.device))
        },
    );
    NvLink {
        link,
        active: Some(active),
        version: version.ok(),
        remote_type: remote.ok().map(|kind| word(REMOTE_TYPES, kind)),
        remote_pci_bus_id: address.ok(),
    }
}

/// How one GPU reaches the others.
pub(crate) fn peers(
    lib: &NvmlLib,
    handle: nvmlDevice_t,
    others: &[(String, nvmlDevice_t)],
) -> Vec<Peer> {
    others
        .iter()
        .map(|(uuid, other)| {
            let level = nvml_sym(lib.nvmlDeviceGetTopologyCommonAncestor.as_ref()).and_then(
                // SAFETY (and below): both handles are of this session; NVML writes one integer of this width.
                |function| number(|out| unsafe { function(handle, *other, out) }),
            );
            let read = nvml_sym(lib.nvmlDeviceGetP2PStatus.as_ref()).and_then(|function| {
                number(|out| unsafe { function(handle, *other, PEER_READ, out) })
            });
            Peer {
                uuid: uuid.clone(),
                topology: level.ok().map(|level| word(TOPOLOGY, level)),
                peer_read: read.ok().map(|status| word(PEER_STATUS, status)),
            }
        })
        .collect()
}
