//! Reading endpoints, which both versions of the format share.

use super::fault::Fault;
use super::read::{Fields, Long, Null, Reader, Text, fields, skip};
use crate::model::Endpoint;
use serde::de::{DeserializeSeed, Deserializer, MapAccess};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fields!(EndpointField { ServiceName = "serviceName", Ipv4 = "ipv4", Ipv6 = "ipv6", Port = "port" });

/// Reads an optional endpoint. One of which nothing is known is absent.
#[derive(Clone, Copy)]
pub struct EndpointFields<'r> {
    pub reader: &'r Reader<'r>,
    /// How many lists and objects are open around it.
    pub depth: usize,
}

impl<'de> Fields<'de> for EndpointFields<'_> {
    type Value = Option<Endpoint<'de>>;
    const WHAT: &'static str = "an endpoint object";

    fn absent() -> Option<Self::Value> {
        Some(None)
    }

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let reader = self.reader;
        let text = Text { reader, null: Null::Absent };
        let mut endpoint = Endpoint::default();
        while let Some(field) = map.next_key::<EndpointField>()? {
            match field {
                EndpointField::ServiceName => {
                    if let Some(service) = map.next_value_seed(text)? {
                        let service = reader.name("serviceName", service)?;
                        endpoint.service = (!service.is_empty()).then_some(service);
                    }
                }
                // The peer takes an address of either family from either field, and drops what is none.
                EndpointField::Ipv4 | EndpointField::Ipv6 => match map.next_value_seed(text)? {
                    Some(address) => read_address(&address, &mut endpoint),
                    None => continue,
                },
                EndpointField::Port => {
                    let int = Long { reader, null: Null::Absent, want: "an int" };
                    if let Some(port) = map.next_value_seed(PortSeed(int))? {
                        endpoint.port = (port > 0).then_some(port);
                    }
                }
                EndpointField::Unknown => skip(reader, &mut map, self.depth + 1)?,
            }
        }
        Ok((!endpoint.is_empty()).then_some(endpoint))
    }
}

/// A port: 0 and less are unknown, over 65535 is refused.
struct PortSeed<'r>(Long<'r>);

impl<'de> DeserializeSeed<'de> for PortSeed<'_> {
    type Value = Option<u16>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let Some(port) = self.0.deserialize(json)? else { return Ok(None) };
        if i32::try_from(port).is_err() {
            return Err(self.0.reader.fail(Fault::Fraction { want: self.0.want, literal: Some(port.to_string()) }));
        }
        match u16::try_from(port.max(0)) {
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(self.0.reader.says(format!("invalid port {port}"), "send a port of 1 to 65535, or none")),
        }
    }
}

fn read_address(text: &str, endpoint: &mut Endpoint<'_>) {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => endpoint.ipv4 = Some(address),
        Ok(IpAddr::V6(address)) => match embedded_ipv4(text, address) {
            Some(address) => endpoint.ipv4 = Some(address),
            None => endpoint.ipv6 = Some(address),
        },
        Err(_) => endpoint.ipv4 = zero_padded_ipv4(text).or(endpoint.ipv4),
    }
}

/// The IPv4 address inside `::ffff:1.2.3.4`, or inside the old form `::1.2.3.4`, of which only the dotted spelling says
/// what is meant.
fn embedded_ipv4(text: &str, address: Ipv6Addr) -> Option<Ipv4Addr> {
    address.to_ipv4_mapped().or_else(|| text.contains('.').then(|| address.to_ipv4()).flatten())
}

/// An address like `010.001.002.003`, decimal as the peer takes it.
fn zero_padded_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.').map(|part| match part.len() {
        1..=3 if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse::<u8>().ok(),
        _ => None,
    });
    let address = Ipv4Addr::new(parts.next()??, parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(address)
}
