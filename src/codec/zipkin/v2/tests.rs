mod corpora;
mod refused;
mod taken;
mod written;

use super::*;

fn spans(body: &str) -> Vec<Span<'_>> {
    decode(body, &Limits::default()).unwrap()
}

fn json(span: &Span<'_>) -> String {
    let mut out = Vec::new();
    write(span, &mut out);
    String::from_utf8(out).unwrap()
}

/// The refusal of a span with these fields beside its ids.
fn refusal_of(fields: &str) -> DecodeError {
    let body = format!(r#"[{{"traceId":"a","id":"b",{fields}}}]"#);
    decode(&body, &Limits::default()).unwrap_err()
}

/// The span with these fields beside its ids, as it is written.
fn rewritten(fields: &str) -> String {
    let body = format!(r#"[{{"traceId":"a","id":"b",{fields}}}]"#);
    let json = json(&spans(&body)[0]);
    json.strip_prefix(r#"{"traceId":"000000000000000a","id":"000000000000000b""#).unwrap().to_owned()
}
