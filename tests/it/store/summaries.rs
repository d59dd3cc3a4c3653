//! The summaries in data files: how much they take, and what is answered where there is none to read.

use super::{DATA, NOW, batch, clock, config, run, scope};
use crate::support::sim_fs::SimFs;
use spanlake::bench::generate::{Generator, Options};
use spanlake::bench::source::Source;
use spanlake::bench::write::{Body, Format, Packer};
use spanlake::codec::Limits;
use spanlake::codec::zipkin::proto3;
use spanlake::fs::{Fs, OpenMode, RealFs};
use spanlake::lake::DataFile;
use spanlake::lake::spans::rows::RowBuilder;
use spanlake::lake::spans::writer::SpanFileWriter;
use spanlake::model::{Endpoint, Span, TraceId};
use spanlake::query::names::services;
use spanlake::query::search::{Search, SearchQuery};
use spanlake::stop::Stop;
use spanlake::store::{Snapshot, Store, StoreConfig};
use std::path::Path;
use std::sync::Arc;

/// Random tags are what an index of tokens grows by; the generated spans have three each.
#[test]
fn summaries_take_at_most_15_percent_of_the_bytes() {
    const SPANS: u64 = 40_000;
    let options = Options { seed: 1, wide_ids: false, shared_spans: false, first_start: NOW, rate: 20_000 };
    let source = Source::generated(Generator::new(options), SPANS);
    let mut bodies: Vec<Body> = Vec::new();
    let mut packer = Packer::new(Format::ZipkinProto, 5_000, false, |body: Body| {
        bodies.push(body);
        true
    });
    source.pack(&mut packer);
    let limits = Limits::default();
    let decoded = bodies.iter().flat_map(|body| proto3::decode(&body.bytes, &limits).unwrap());
    let mut spans: Vec<Span<'_>> = decoded.collect();
    spans.sort();

    let folder = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut writer = SpanFileWriter::create(fs.clone(), folder.path(), 20_779, "spans.parquet", 3, &[]).unwrap();
    for spans in spans.chunks(4_096) {
        let mut rows = RowBuilder::default();
        for span in spans {
            rows.push(&scope("default"), span);
            writer.summarise(&scope("default"), span).unwrap();
        }
        writer.push(&rows.finish().unwrap()).unwrap();
    }
    let info = writer.finish().unwrap();
    let (size, file) = (info.size, DataFile::new(fs, folder.path(), info));
    let summaries: u64 = file.summaries().unwrap().iter().map(|summary| summary.length()).sum();
    assert!(summaries * 100 <= size * 15, "{summaries} of {size}");
    assert!(summaries * 100 > size, "{summaries} of {size}: nothing was measured");
}

fn named(id: u64) -> Span<'static> {
    let mut span = Span::new(TraceId::narrow(id), 1);
    span.timestamp = Some(NOW);
    span.local = Some(Endpoint { service: Some(format!("service {id}").into()), ..Endpoint::default() });
    span.tags = vec![("tag".into(), id.to_string().into())];
    span
}

/// The traces with a span of the tag's value, and the services.
fn answers(snapshot: &Snapshot, value: u64) -> (Vec<u64>, Vec<String>) {
    let query = SearchQuery {
        project: "default".into(),
        tags: vec![("tag".into(), value.to_string())],
        end_ts: NOW / 1_000,
        lookback: 1_000,
        limit: 10,
        ..SearchQuery::default()
    };
    let mut search = Search::open(snapshot, &query, Stop::never()).unwrap();
    let mut found = Vec::new();
    while let Some(chunk) = search.next_chunk().unwrap() {
        found.push(chunk.rows.spans[0].trace_id.low);
    }
    assert!(search.damaged().is_empty());
    (found, services(snapshot, "default").unwrap().names)
}

/// As an earlier build wrote them, or another engine.
#[test]
fn a_file_without_a_summary_is_read_instead() {
    let folder = tempfile::tempdir().unwrap();
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut writer = SpanFileWriter::create(fs.clone(), folder.path(), 20_779, "spans.parquet", 3, &[]).unwrap();
    let mut rows = RowBuilder::default();
    (1..=3).for_each(|id| rows.push(&scope("default"), &named(id)));
    writer.push(&rows.finish().unwrap()).unwrap();
    let file = DataFile::new(fs, folder.path(), writer.finish().unwrap());
    let snapshot = Snapshot::of(vec![], vec![Arc::new(file)]);
    let all: Vec<String> = (1..=3).map(|id| format!("service {id}")).collect();
    assert_eq!(answers(&snapshot, 2), (vec![2], all.clone()));
    assert_eq!(answers(&snapshot, 9), (vec![], all));
}

/// Checksums are of blocks of 16 KiB: where one that holds nothing but summary does not fit, the rows are whole.
#[test]
fn a_damaged_summary_is_made_again_from_the_rows() {
    const SPANS: u64 = 6_000;
    const BLOCK: usize = 16 * 1_024;
    run(async {
        let fs = SimFs::default();
        let store = Store::open(config(), Arc::new(fs.clone()), clock()).await.unwrap();
        store.append(batch("default", &(1..=SPANS).map(named).collect::<Vec<_>>())).await.unwrap();
        store.flush().await.unwrap();
        let file = store.snapshot().files[0].clone();
        let whole = file.summaries().unwrap()[0].length() as usize;
        store.close().await.unwrap();
        // It ends where the indexes of the rows begin.
        let bytes = spanlake::fs::read(&fs, file.path()).unwrap();
        let end = bytes.windows(8).position(|window| window == b"spansum1").unwrap() + 8;
        let (first, last) = ((end - whole).next_multiple_of(BLOCK), end / BLOCK * BLOCK);
        assert!(last > first, "{whole} bytes are too few for this test");
        for at in (first..last).step_by((last - first) / 5) {
            let handle = fs.open(file.path(), OpenMode::ReadWrite).unwrap();
            handle.write_all_at(&[bytes[at] ^ 0x10], at as u64).unwrap();
            let root = StoreConfig::table_dir(Path::new(DATA));
            let damaged = DataFile::new(Arc::new(fs.clone()), &root, file.info().clone());
            let snapshot = Snapshot::of(vec![], vec![Arc::new(damaged)]);
            let (found, names) = answers(&snapshot, 7);
            assert_eq!((found, names.len()), (vec![7], SPANS as usize), "byte {at}");
            handle.write_all_at(&[bytes[at]], at as u64).unwrap();
        }
    });
}
