//! A JSON object that is one. The derived readers of structures take a list for its fields in order as well, which no
//! client means.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// What is read from an object, and from nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        reader.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[derive(Debug, Deserialize)]
    struct Pair<'a> {
        #[serde(borrow)]
        first: &'a RawValue,
        second: Option<u8>,
    }

    #[test]
    fn an_object_is_read_and_a_list_of_its_fields_is_not() {
        let Object(pair) = serde_json::from_str::<Object<Pair<'_>>>(r#"{"first": [1, 2], "second": null}"#).unwrap();
        assert_eq!((pair.first.get(), pair.second), ("[1, 2]", None));
        for bad in [r#"[[1, 2], null]"#, "null", "1", "\"first\""] {
            let refused = serde_json::from_str::<Object<Pair<'_>>>(bad).unwrap_err().to_string();
            assert!(refused.contains("expected an object"), "{bad}: {refused}");
        }
    }
}
