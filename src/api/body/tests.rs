//! Encodings and limits, without a socket.

use super::super::budget::Budget;
use super::*;
use axum::http::HeaderValue;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;

const ROOM: usize = 1 << 30;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn expand(encoding: Encoding, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    decompress(encoding, bytes, limit, &mut Budget::new(ROOM).charge(), SPANS)
}

/// Text that is longer than several steps and does not repeat exactly.
fn text() -> Vec<u8> {
    (0..50_000).flat_map(|n| format!("{n} spans,").into_bytes()).collect()
}

#[test]
fn every_encoding_gives_back_what_was_put_in() {
    for plain in [&b""[..], b"[]", &text()] {
        assert_eq!(expand(Encoding::Gzip, &gzip(plain), ROOM).unwrap(), plain);
        assert_eq!(expand(Encoding::Deflate, &zlib(plain), ROOM).unwrap(), plain);
        assert_eq!(expand(Encoding::Deflate, &raw(plain), ROOM).unwrap(), plain);
    }
}

#[test]
fn gzip_in_several_members_is_one_body() {
    let members = [gzip(b"[1,"), gzip(b"2]")].concat();
    assert_eq!(expand(Encoding::Gzip, &members, ROOM).unwrap(), b"[1,2]");
}

#[test]
fn a_raw_stream_that_begins_like_zlib_is_still_read() {
    // A stored block whose first byte's unused bits, and whose length, make the two bytes pass for zlib's header.
    let stream = |length: u8| {
        let mut stream = vec![0x78, length, 0x00, !length, 0xff];
        stream.extend(vec![b'x'; usize::from(length)]);
        stream.extend([0x03, 0x00]);
        stream
    };
    let length = (0..=u8::MAX).find(|length| is_zlib(&stream(*length))).unwrap();
    assert_eq!(expand(Encoding::Deflate, &stream(length), ROOM).unwrap(), vec![b'x'; usize::from(length)]);
}

#[test]
fn a_stream_that_was_cut_anywhere_is_refused() {
    let (gzipped, zlibbed, bare) = (gzip(b"[some spans]"), zlib(b"[some spans]"), raw(b"[some spans]"));
    for (encoding, whole) in [(Encoding::Gzip, gzipped), (Encoding::Deflate, zlibbed), (Encoding::Deflate, bare)] {
        for length in 1..whole.len() {
            let refusal = expand(encoding, &whole[..length], ROOM).unwrap_err();
            assert_eq!(refusal.status, 400, "{encoding:?} cut at {length}");
        }
    }
}

#[test]
fn what_is_no_gzip_is_refused_in_the_peers_words() {
    for (what, encoding, said) in [
        (SPANS, Encoding::Gzip, "Cannot gunzip spans"),
        (SPANS, Encoding::Deflate, "Cannot inflate spans"),
        (ANY, Encoding::Gzip, "Cannot gunzip the body"),
    ] {
        let refusal = decompress(encoding, b"[]", ROOM, &mut Budget::new(ROOM).charge(), what).unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.message.lines().next()), (400, Some(said)));
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit_and_costs_no_more_than_it() {
    let bomb = gzip(&vec![b' '; 10 << 20]);
    let budget = Budget::new(ROOM);
    let mut charge = budget.charge();
    let refusal = decompress(Encoding::Gzip, &bomb, 1 << 20, &mut charge, SPANS).unwrap_err();
    assert_eq!(refusal.status, 413);
    assert_eq!(
        refusal.message,
        "the body is larger than 1MiB\n\
         ingest.max_decompressed_bytes: send less in a request, or raise it with --ingest-max-decompressed-bytes"
    );
    // What was taken while it grew: the limit and a step or two.
    let mut rest = budget.charge();
    assert!(rest.grow(ROOM - (1 << 20) - 2 * STEP));
}

#[test]
fn what_an_expanded_body_takes_is_what_is_charged_for_it_and_no_more_than_the_limit() {
    let limit = 40 * STEP - 1;
    for length in [1, STEP, 3 * STEP + 1, 33 * STEP, limit] {
        let plain = vec![b'x'; length];
        for (encoding, bytes) in [(Encoding::Gzip, gzip(&plain)), (Encoding::Deflate, zlib(&plain))] {
            let budget = Budget::new(ROOM);
            let mut charge = budget.charge();
            let expanded = decompress(encoding, &bytes, limit, &mut charge, SPANS).unwrap();
            assert_eq!(expanded.len(), length);
            let taken = expanded.capacity();
            assert!(taken <= limit + STEP, "{encoding:?} {length}: {taken}");
            // A gzip stream says its length.
            assert!(encoding == Encoding::Deflate || taken == length + STEP, "{length}: {taken}");
            assert!(!budget.charge().grow(ROOM - taken + 1));
            assert!(budget.charge().grow(ROOM - taken));
        }
    }
}

#[test]
fn a_gzip_stream_that_lies_about_its_length_is_not_believed() {
    let mut lying = [gzip(b"[some spans]"), gzip(b"")].concat();
    assert_eq!(expand(Encoding::Gzip, &lying, ROOM).unwrap(), b"[some spans]");
    let length = lying.len();
    lying[length - 4..].copy_from_slice(&(1_u32 << 29).to_le_bytes());
    assert_eq!(gzip_length(&lying, ROOM), 0);
    assert_eq!(expand(Encoding::Gzip, &lying, ROOM).unwrap_err().status, 400);
}

#[test]
fn a_stream_that_was_given_up_is_charged_no_longer() {
    let budget = Budget::new(ROOM);
    let mut charge = budget.charge();
    let mut broken = gzip(&vec![b'x'; 3 * STEP]);
    broken.truncate(broken.len() - 8);
    decompress(Encoding::Gzip, &broken, ROOM, &mut charge, ANY).unwrap_err();
    assert!(budget.charge().grow(ROOM));
}

#[test]
fn a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let limit = 3 * STEP;
    assert_eq!(expand(Encoding::Gzip, &gzip(&vec![b'x'; limit]), limit).unwrap().len(), limit);
    assert_eq!(expand(Encoding::Gzip, &gzip(&vec![b'x'; limit + 1]), limit).unwrap_err().status, 413);
    assert_eq!(expand(Encoding::Deflate, &zlib(&vec![b'x'; limit + 1]), limit).unwrap_err().status, 413);
    assert_eq!(expand(Encoding::Deflate, &raw(&vec![b'x'; limit + 1]), limit).unwrap_err().status, 413);
}

#[test]
fn expanding_beyond_what_all_requests_may_hold_is_overload() {
    let budget = Budget::new(1 << 20);
    let mut other = budget.charge();
    assert!(other.grow(1));
    let refusal = decompress(Encoding::Gzip, &gzip(&vec![b' '; 2 << 20]), ROOM, &mut budget.charge(), ANY).unwrap_err();
    assert_eq!(refusal.status, 503);
}

fn with(name: axum::http::HeaderName, values: &[&'static str]) -> HeaderMap {
    values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
}

#[test]
fn encodings_are_read_in_any_case_and_identity_is_none() {
    let read = |values: &[&'static str]| encoding(&with(header::CONTENT_ENCODING, values)).map_err(|e| e.status);
    assert_eq!(read(&[]), Ok(Encoding::Identity));
    assert_eq!(read(&["identity"]), Ok(Encoding::Identity));
    assert_eq!(read(&[""]), Ok(Encoding::Identity));
    assert_eq!(read(&["GZip"]), Ok(Encoding::Gzip));
    assert_eq!(read(&["identity, x-gzip"]), Ok(Encoding::Gzip));
    assert_eq!(read(&["deflate"]), Ok(Encoding::Deflate));
    for bad in [&["br"][..], &["zstd"], &["gzip, gzip"], &["gzip", "deflate"]] {
        assert_eq!(read(bad), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{bad:?}");
    }
}

#[test]
fn only_what_is_certainly_not_json_is_refused_by_its_type() {
    let read = |values: &[&'static str]| refuse_binary(&with(header::CONTENT_TYPE, values)).map_err(|e| e.status);
    for good in [&[][..], &["application/json"], &["application/x-www-form-urlencoded"], &["text/plain"], &["?"]] {
        assert_eq!(read(good), Ok(()), "{good:?}");
    }
    for bad in ["application/x-protobuf", "Application/X-Thrift; v=1"] {
        assert_eq!(read(&[bad]), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{bad:?}");
    }
}
