//! What a span costs on its way, step by step, on one core: decode, log encoding, Arrow build, Parquet write, and the
//! lookup of a trace in the written file. The spans are those of `spanlake bench`.
//!
//! `cargo bench --bench pipeline`; throughput is in spans (elements), the lookup's time is per trace.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use spanlake::bench::generate::{Generator, Options};
use spanlake::bench::source::Source;
use spanlake::bench::write::{Body, Format, Packer};
use spanlake::codec::zipkin::{proto3, thrift, v1, v2};
use spanlake::codec::{Limits, stored};
use spanlake::fs::RealFs;
use spanlake::lake::DataFile;
use spanlake::lake::spans::rows::RowBuilder;
use spanlake::lake::spans::writer::SpanFileWriter;
use spanlake::model::{Scope, Span};
use spanlake::query::trace::{TraceCursor, TraceQuery};
use spanlake::store::{EncodedBatch, MemTable, Snapshot};
use std::hint::black_box;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS: u64 = 100_000;
const DAY: i32 = 20_779;

fn source() -> Source {
    let first_start = i64::from(DAY) * 86_400_000_000;
    Source::generated(
        Generator::new(Options { seed: 1, wide_ids: false, shared_spans: false, first_start, rate: 20_000 }),
        SPANS,
    )
}

fn bodies(format: Format) -> Vec<Body> {
    let mut bodies = Vec::new();
    let mut packer = Packer::new(format, 500, false, |body: Body| {
        bodies.push(body);
        true
    });
    source().pack(&mut packer);
    bodies
}

fn text(body: &Body) -> &str {
    std::str::from_utf8(&body.bytes).expect("bodies are JSON")
}

fn scope() -> Scope<'static> {
    Scope { project: "default".into(), cluster_id: None, namespace: None }
}

fn decode(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("decode");
    for (name, format) in [
        ("zipkin v2 json", Format::ZipkinV2),
        ("zipkin v1 json", Format::ZipkinV1),
        ("zipkin v2 protobuf", Format::ZipkinProto),
        ("zipkin v1 thrift", Format::ZipkinThrift),
    ] {
        let bodies = bodies(format);
        let body = &bodies[0];
        group.throughput(Throughput::Elements(u64::from(body.spans)));
        group.bench_function(name, |b| {
            b.iter(|| {
                let spans = match format {
                    Format::ZipkinProto => proto3::decode(black_box(&body.bytes), &limits),
                    Format::ZipkinThrift => thrift::decode(black_box(&body.bytes), &limits),
                    Format::ZipkinV2 => v2::decode(black_box(text(body)), &limits),
                    Format::ZipkinV1 | Format::Ats => v1::decode(black_box(text(body)), &limits),
                };
                spans.expect("the generator writes valid spans").len()
            });
        });
    }
    group.finish();
}

fn log(c: &mut Criterion) {
    let bodies = bodies(Format::ZipkinV2);
    let spans = v2::decode(text(&bodies[0]), &Limits::default()).expect("the generator writes valid JSON");
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(spans.len() as u64));
    group.bench_function("encode", |b| b.iter(|| stored::encode(&scope(), 0, black_box(&spans)).len()));
    let bytes = bytes::Bytes::from(stored::encode(&scope(), 0, &spans));
    group.bench_function("index into the memory table", |b| {
        b.iter_batched_ref(
            MemTable::default,
            |table| table.append(1, EncodedBatch::index(bytes.clone()).expect("just encoded")),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// All spans, in the order of the table.
fn sorted(bodies: &[Body]) -> Vec<Span<'_>> {
    let limits = Limits::default();
    let decoded = bodies.iter().map(|body| v2::decode(text(body), &limits).expect("the generator writes valid JSON"));
    let mut spans: Vec<Span<'_>> = decoded.flatten().collect();
    spans.sort_unstable();
    spans
}

fn lake(c: &mut Criterion) {
    let bodies = bodies(Format::ZipkinV2);
    let spans = sorted(&bodies);
    let mut group = c.benchmark_group("lake");
    group.sample_size(10);
    group.throughput(Throughput::Elements(spans.len() as u64));
    let build = |builder: &mut RowBuilder| {
        let mut batches = Vec::new();
        for part in spans.chunks(8_192) {
            part.iter().for_each(|span| builder.push(&scope(), span));
            batches.push(builder.finish().expect("columns of one length"));
        }
        batches
    };
    group.bench_function("arrow build", |b| b.iter(|| build(&mut RowBuilder::default()).len()));

    let batches = build(&mut RowBuilder::default());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = || {
        let mut writer =
            SpanFileWriter::create(Arc::new(RealFs), folder.path(), DAY, "bench.parquet", 3, &[]).expect("a file");
        batches.iter().for_each(|batch| writer.push(batch).expect("a batch"));
        writer.finish().expect("a durable file")
    };
    group.bench_function("parquet write, sync included", |b| b.iter(write));
    group.finish();

    let info = write();
    println!("{:.1} bytes a span in the file", info.size as f64 / info.rows as f64);
    let file = Arc::new(DataFile::new(Arc::new(RealFs), folder.path(), info));
    let snapshot = Snapshot::of(Vec::new(), vec![file]);
    let source = source();
    let mut number = 0;
    c.bench_function("lookup of a trace in a file", |b| {
        b.iter(|| {
            number = (number + 7_919) % source.traces();
            let query = TraceQuery {
                project: "default".to_owned(),
                trace_id: source.trace_id(number),
                strict: true,
                cluster_id: None,
                namespace: None,
            };
            let mut cursor = TraceCursor::open(&snapshot, &query).expect("a readable file");
            let mut found = 0;
            while let Some(chunk) = cursor.next_chunk().expect("a readable file") {
                found += chunk.len();
            }
            assert_eq!(found, source.span_count(number));
        });
    });
}

criterion_group!(benches, decode, log, lake);
criterion_main!(benches);
