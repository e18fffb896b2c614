//! Arbitrary bytes, and bytes that are nearly right, through every decoder of bytes from outside.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use batchstep_decoders::{
    MESSAGES, certificate, devices_file, frames, inventory, message, settings_file,
    signing_request, text,
};
use batchstep_identity::agent_uri;
use batchstep_proto::ids::AgentId;
use batchstep_proto::{frame, wire};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;

/// A number as protobuf writes it.
fn varint() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        4 => 0..8_u64,
        2 => 0..5000_u64,
        1 => any::<u64>(),
    ];
    number.prop_map(|number| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number, &mut bytes);
        bytes
    })
}

fn delimited(field: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    let mut length = Vec::new();
    prost::encoding::encode_varint(body.len() as u64, &mut length);
    bytes.extend(length);
    bytes.extend(body);
    bytes
}

/// Fields of a message, some of which have a plausible value of the plausible kind.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let scalar =
        (1..16_u8, varint()).prop_map(|(field, number)| [vec![field << 3], number].concat());
    let double = (1..16_u8, prop_oneof![Just(0.01), 0.0..1.0, any::<f64>()]).prop_map(
        |(field, number): (u8, f64)| [vec![field << 3 | 1], number.to_le_bytes().to_vec()].concat(),
    );
    let words = prop_oneof![
        Just("linear".to_owned()),
        Just("0190d3a0-0000-7000-8000-000000000001".to_owned()),
        "\\PC{0,12}",
    ];
    let string = (1..16_u8, words).prop_map(|(field, text)| delimited(field, text.as_bytes()));
    let leaf = prop_oneof![3 => scalar, 1 => double, 2 => string];
    let message = vec(leaf, 0..12).prop_map(|fields| fields.concat());
    message.prop_recursive(2, 24, 6, |inner| {
        let nested = (1..16_u8, inner.clone()).prop_map(|(field, body)| delimited(field, &body));
        vec(prop_oneof![nested, inner], 1..5).prop_map(|fields| fields.concat())
    })
}

fn frames_of_messages() -> impl Strategy<Value = Vec<u8>> {
    let one = (0..5_u32, any::<u64>()).prop_map(|(visit, elapsed_ns)| {
        frame::encode(&wire::FromWorker {
            message: Some(wire::from_worker::Message::Block(wire::Block {
                visit,
                elapsed_ns,
                ..Default::default()
            })),
        })
    });
    (any::<u8>(), vec(one, 0..5), vec(any::<u8>(), 0..6))
        .prop_map(|(piece, frames, rest)| [vec![piece], frames.concat(), rest].concat())
}

/// A document with values of any kind.
fn documents() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_map(|number| format!("{number:e}")),
        "\"[a-zA-Z0-9 -]{0,12}\"",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
    ];
    let name = prop_oneof![
        Just("hostname"),
        Just("kernel"),
        Just("logical_cores"),
        Just("memory_bytes"),
        Just("uuid"),
        Just("model"),
        Just("temperature_celsius"),
        Just("unheard_of"),
    ];
    let record = || {
        vec((name.clone(), value.clone()), 0..6).prop_map(|fields| {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("\"{name}\": {value}"))
                .collect();
            format!("{{{}}}", fields.join(", "))
        })
    };
    (0..3_u8, record(), vec(record(), 0..3), prop_oneof![Just("running"), Just("absent"), Just("odd")]).prop_map(
        |(version, host, gpus, nvml)| {
            format!(
                "{{\"schema_version\": {version}, \"host\": {host}, \"nvml\": {{\"state\": \"{nvml}\"}}, \"gpus\": [{}]}}",
                gpus.join(", ")
            )
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_refused(kind in 0..MESSAGES, body in vec(any::<u8>(), 0..200)) {
        message(&[vec![kind], body].concat());
    }

    #[test]
    fn anything_like_a_message_is_one_or_refused(kind in 0..MESSAGES, body in fields()) {
        message(&[vec![kind], body].concat());
    }

    #[test]
    fn any_stream_has_the_same_frames_however_it_is_cut(stream in prop_oneof![vec(any::<u8>(), 0..100), frames_of_messages()]) {
        frames(&stream);
    }

    #[test]
    fn any_text_is_parsed_or_refused(words in "(\\PC{0,40}|[0-9:,-]{0,20}|(linear|cnn|conv|transformer|resnet50|torchscript):[a-z0-9=,:.x]{0,40}|[a-z_]{0,20}(<|=|!=|>=)[a-zA-Z0-9.\"]{0,12}|[0-9*/,-]{1,6}( [0-9*/,-]{1,6}){4}|[0-9]{1,2}:[0-9]{1,2}(-[0-9]{1,2}:[0-9]{1,2})?|[A-Z][a-z]{1,9}/[A-Z][a-z]{1,9})") {
        text(&words);
    }

    #[test]
    fn any_text_describes_devices_or_is_refused(words in "\\PC{0,80}|(speed|seed) = [0-9a-z.\"-]{0,8}\n\\[\\[device\\]\\]\n(model|count|spread|law|class) = [0-9a-z.\"{}-]{0,20}\n") {
        devices_file(&words);
    }

    #[test]
    fn any_text_is_a_configuration_or_refused(words in "\\PC{0,80}|((name|count|listen|names|share|nmae) = ([0-9]{1,12}|true|false|[0-9.e+-]{1,6}|\"[a-z0-9 #,.:\\[\\]-]{0,12}\"|'[a-z\"]{0,4}')( #x)?\n){0,5}") {
        settings_file(&words);
    }

    #[test]
    fn any_bytes_are_a_certificate_or_refused(cut in 0..600_usize, at in 0..600_usize, byte: u8) {
        let mut bytes = a_certificate();
        if let Some(changed) = bytes.get_mut(at) {
            *changed = byte;
        }
        bytes.truncate(bytes.len().max(cut) - cut);
        certificate(&bytes);
    }

    #[test]
    fn any_bytes_are_a_signing_request_or_refused(at in 0..300_usize, byte: u8, more in vec(any::<u8>(), 0..40)) {
        let right = a_signing_request();
        prop_assert!(signing_request(&right));
        let mut changed = right.clone();
        if let Some(there) = changed.get_mut(at) {
            *there = byte;
        }
        // Signed with its own key, so that it is for no other one, whatever else of it is not covered by the signature.
        prop_assert!(!signing_request(&changed) || key_of(&changed) == key_of(&right));
        signing_request(&right[..at.min(right.len())]);
        signing_request(&[&more[..], &right[..]].concat());
        signing_request(&more);
    }

    #[test]
    fn any_document_is_an_inventory_or_refused(document in documents()) {
        inventory(document.as_bytes());
    }

    #[test]
    fn any_bytes_are_an_inventory_or_refused(bytes in vec(any::<u8>(), 0..100)) {
        inventory(&bytes);
    }
}

/// The generators above reach what they are for: a message that they could make is taken whole.
#[test]
fn a_right_message_comes_back() {
    let device = wire::Device {
        id: "GPU-1".to_owned(),
        kind: wire::DeviceKind::Cuda as i32,
        model: "H".to_owned(),
        ..Default::default()
    };
    message(&[vec![3], device.encode_to_vec()].concat());
}

#[test]
fn a_right_configuration_is_in_force() {
    let text = "name = 'a # b'\ncount = 5\nlisten = '[::1]:80'\nnames = 'a,b'\nshare = false\n";
    assert!(settings_file(text));
    assert!(!settings_file("count = 'many'"));
}

/// Of an agent, as an authority would issue it.
fn a_certificate() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut asked = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let name = agent_uri(AgentId::generate()).try_into().unwrap();
    asked.subject_alt_names = vec![rcgen::SanType::URI(name)];
    asked.self_signed(&key).unwrap().der().to_vec()
}

/// Of an agent, as it asks its coordinator.
fn a_signing_request() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let asked = rcgen::CertificateParams::new(Vec::new()).unwrap();
    asked.serialize_request(&key).unwrap().der().to_vec()
}

fn key_of(signing_request: &[u8]) -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    let read = rcgen::CertificateSigningRequestParams::from_der(&signing_request.into()).unwrap();
    read.public_key.der_bytes().to_vec()
}
