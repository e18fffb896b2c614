//! The fields of one thing. In JSON a flat object with every field it was asked for, `null` where a value is absent, and the reasons in `absent`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{
    catalogue,
    field::{Field, Key, Scope},
    reading::{Absent, Reading, Typed, Value, ValueError},
};

/// What is known of one host, GPU or MIG instance, in the catalogue's order. A field that makes no sense for the thing is not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    scope: Scope,
    /// By position in the catalogue of the scope.
    readings: BTreeMap<usize, Reading<Value>>,
}

impl Record {
    /// Nothing is known.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self {
            scope,
            readings: BTreeMap::new(),
        }
    }

    /// What it is a record of.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Notes a reading in place of an earlier one.
    pub fn set<T: Typed>(&mut self, key: Key<T>, reading: Reading<T>) {
        self.set_value(key.field(), reading.map(Typed::into_value));
    }

    /// The same for a field of any kind; ignored for one of another scope, or a value of another kind.
    pub fn set_value(&mut self, field: &'static Field, reading: Reading<Value>) {
        let is_of_kind = match &reading {
            Ok(Value::Text(_)) => field.kind == super::Kind::Text,
            Ok(Value::Integer(_)) => field.kind == super::Kind::Integer,
            Ok(Value::Number(number)) => field.kind == super::Kind::Number && number.is_finite(),
            Ok(Value::Flag(_)) => field.kind == super::Kind::Flag,
            Err(_) => true,
        };
        let position = catalogue::position(self.scope, field.name);
        if let Some(position) = position.filter(|_| is_of_kind && field.scope == self.scope) {
            self.readings.insert(position, reading);
        }
    }

    /// The value of a field; `None` where it is absent or was not asked for.
    #[must_use]
    pub fn get<T: Typed>(&self, key: Key<T>) -> Option<T> {
        T::from_value(self.value(key.field())?)
    }

    /// The reading of a field; `None`: it was not asked for.
    #[must_use]
    pub fn reading(&self, field: &Field) -> Option<&Reading<Value>> {
        self.readings
            .get(&catalogue::position(self.scope, field.name)?)
    }

    /// The value of a field of any kind.
    #[must_use]
    pub fn value(&self, field: &Field) -> Option<&Value> {
        self.reading(field)?.as_ref().ok()
    }

    /// Every field with its reading, in the catalogue's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Field, &Reading<Value>)> {
        let fields = catalogue::fields(self.scope);
        self.readings
            .iter()
            .filter_map(|(position, reading)| Some((*fields.get(*position)?, reading)))
    }

    /// Keeps some of the fields.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Field) -> bool) -> Self {
        let fields = catalogue::fields(self.scope);
        Self {
            scope: self.scope,
            readings: self
                .readings
                .iter()
                .filter(|(position, _)| fields.get(**position).is_some_and(|field| keep(field)))
                .map(|(position, reading)| (*position, reading.clone()))
                .collect(),
        }
    }

    /// Takes the readings of another record of the same scope over its own.
    pub fn update(&mut self, newer: &Self) {
        if self.scope == newer.scope {
            let readings = newer.readings.iter();
            self.readings
                .extend(readings.map(|(position, reading)| (*position, reading.clone())));
        }
    }

    /// Marks some of the fields that it has as absent.
    pub fn lose(&mut self, which: impl Fn(&Field) -> bool, reason: Absent) {
        let fields = catalogue::fields(self.scope);
        for (position, reading) in &mut self.readings {
            if fields.get(*position).is_some_and(|field| which(field)) {
                *reading = Err(reason);
            }
        }
    }

    /// As a JSON object, with the reasons of what is absent under `absent`.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Json> {
        let mut object = Map::new();
        let mut absent = Map::new();
        for (field, reading) in self.iter() {
            let value = match reading {
                Ok(Value::Text(text)) => Json::from(text.as_str()),
                Ok(Value::Integer(integer)) => Json::from(*integer),
                Ok(Value::Number(number)) => Json::from(*number),
                Ok(Value::Flag(flag)) => Json::from(*flag),
                Err(reason) => {
                    absent.insert(field.name.to_owned(), reason.word().into());
                    Json::Null
                }
            };
            object.insert(field.name.to_owned(), value);
        }
        object.insert("absent".to_owned(), absent.into());
        object
    }

    /// Reads a record back. Fields that this version does not know are left out; a `null` without a reason is unknown.
    ///
    /// # Errors
    /// When a known field has a value of another kind; its name comes with the error.
    pub fn from_json(
        scope: Scope,
        object: &Map<String, Json>,
    ) -> Result<Self, (&'static str, ValueError)> {
        let reasons = object.get("absent").and_then(Json::as_object);
        let mut record = Self::new(scope);
        for (position, field) in catalogue::fields(scope).iter().enumerate() {
            let reading = match object.get(field.name) {
                None => continue,
                Some(Json::Null) => {
                    let reason = reasons.and_then(|reasons| reasons.get(field.name)?.as_str());
                    Err(Absent::ALL
                        .into_iter()
                        .find(|known| Some(known.word()) == reason)
                        .unwrap_or(Absent::Unknown))
                }
                Some(json) => {
                    Ok(Value::from_json(field.kind, json).map_err(|error| (field.name, error))?)
                }
            };
            record.readings.insert(position, reading);
        }
        Ok(record)
    }
}
