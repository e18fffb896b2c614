//! Holds the wire's shape: every message, field, number and type, every enum value and every method, compared with a golden file. A difference
//! that only adds lines is how the protocol grows; a line that is gone or changed breaks agents in the field.
//!
//! After an addition: `BLESS=1 cargo test -p batchstep-proto --test descriptor`, and look at the difference.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{env, fmt::Write as _, fs, path::Path};

use batchstep_proto::wire::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

fn describe() -> String {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut text = String::new();
    for file in &set.file {
        for message in &file.message_type {
            self::message(&mut text, file.package(), message);
        }
        for values in &file.enum_type {
            enumeration(&mut text, file.package(), values);
        }
        for service in &file.service {
            for method in &service.method {
                let stream = |is: bool| if is { "stream " } else { "" };
                writeln!(
                    text,
                    "rpc {}.{}/{} {}{} -> {}{}",
                    file.package(),
                    service.name(),
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type()
                )
                .unwrap();
            }
        }
    }
    text
}

fn message(text: &mut String, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    writeln!(text, "message {name}").unwrap();
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => field.type_name().to_owned(),
            simple => simple.as_str_name().to_owned(),
        };
        let label = match field.label() {
            Label::Repeated => "repeated ",
            _ if field.proto3_optional() => "optional ",
            _ => "",
        };
        let choice = field
            .oneof_index
            .filter(|_| !field.proto3_optional())
            .and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?))
            .map_or_else(String::new, |choice| format!(" oneof {}", choice.name()));
        writeln!(
            text,
            "  {name} {} = {label}{kind} {}{choice}",
            field.number(),
            field.name()
        )
        .unwrap();
    }
    for range in &message.reserved_range {
        writeln!(text, "  {name} reserved {}..{}", range.start(), range.end()).unwrap();
    }
    for nested in &message.nested_type {
        self::message(text, &name, nested);
    }
    for values in &message.enum_type {
        enumeration(text, &name, values);
    }
}

fn enumeration(text: &mut String, scope: &str, values: &EnumDescriptorProto) {
    let name = format!("{scope}.{}", values.name());
    writeln!(text, "enum {name}").unwrap();
    for value in &values.value {
        writeln!(text, "  {name} {} = {}", value.number(), value.name()).unwrap();
    }
}

#[test]
fn fields_are_never_renumbered() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/batchstep.v1.txt");
    let now = describe();
    if env::var_os("BLESS").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &now).unwrap();
    }
    let then = fs::read_to_string(&golden).unwrap();
    let gone: Vec<&str> = then
        .lines()
        .filter(|line| !now.lines().any(|known| known == *line))
        .collect();
    let new: Vec<&str> = now
        .lines()
        .filter(|line| !then.lines().any(|known| known == *line))
        .collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the protocol changed.\ngone or changed (never do this):\n{}\nnew (bless it):\n{}",
        gone.join("\n"),
        new.join("\n")
    );
}

#[test]
fn enums_begin_with_unspecified() {
    let text = describe();
    let enums: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("enum "))
        .collect();
    assert!(enums.len() > 10);
    for name in enums {
        let first = text
            .lines()
            .find(|line| line.starts_with(&format!("  {name} 0 = ")))
            .unwrap_or_else(|| panic!("{name} has no 0"));
        assert!(first.ends_with("_UNSPECIFIED"), "{first}");
    }
}
