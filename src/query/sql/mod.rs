//! SQL over a data folder, whose server may or may not be running, without changing anything in it.
//!
//! In: the folder and statements. Out: schemas and streams of rows, and notes of damage that was passed over.
//!
//! ```text
//! statement -> parsed, only reading ones pass (dialect, statement)
//!   -> the tables, each at one version, and the log above them (source)
//!   -> relations over what is stored (spans, events, views) -> planned (instants); files pruned (stored), copies of
//!      spans found, resends of events joined
//!   -> executed in bounded memory (memory), all bytes of files checked and damage passed over (stored)
//! ```
//!
//! Invariants:
//! * each statement reads one consistent view, in which all that was acknowledged before it is there, once;
//! * spans equal in every sent field are one row, and so are the resends of an event;
//! * nothing is written but what a large sort or join spills to the system's folder for temporary files; no file is
//!   read but those of the data folder.

mod dialect;
mod events;
mod instants;
mod memory;
mod source;
mod spans;
mod statement;
mod stored;
mod views;

pub use statement::{ReadStatement, parse};
pub use stored::Notes;
pub use views::VIEWS;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::lake::objects::FolderStore;
use crate::store::StoreConfig;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use futures::stream::BoxStream;
use source::Source;
use statement::explain;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The least memory for which another thread is worth it.
const MEMORY_OF_A_THREAD: usize = 64 << 20;

/// How statements are run.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// Bytes that sorts, joins and groups may take before they spill; the log's rows are not among them.
    pub memory: usize,
    /// Whether what is only in the log is left out.
    pub table_only: bool,
}

impl Default for SqlOptions {
    fn default() -> Self {
        SqlOptions { memory: 1 << 30, table_only: false }
    }
}

/// Answers statements over a data folder.
#[derive(Debug)]
pub struct Engine {
    fs: Arc<dyn Fs>,
    folder: PathBuf,
    options: SqlOptions,
    runtime: Arc<RuntimeEnv>,
}

/// The answer to a statement.
pub struct Answer {
    pub schema: SchemaRef,
    pub rows: BoxStream<'static, Result<RecordBatch>>,
    /// Damage that was passed over; complete once the rows are read.
    pub notes: Notes,
}

impl Engine {
    /// An engine over the data folder, which is looked at by each statement.
    pub fn new(fs: Arc<dyn Fs>, folder: &Path, options: SqlOptions) -> Result<Engine> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(memory::BoundedMemory::new(options.memory)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory))
            .build()
            .map_err(|e| explain(&e))?;
        let url = ObjectStoreUrl::parse(stored::scan::STORE).map_err(|e| explain(&e))?;
        let store = FolderStore::new(fs.clone(), StoreConfig::tables_dir(folder));
        runtime.register_object_store(url.as_ref(), Arc::new(store));
        Ok(Engine { fs, folder: folder.to_owned(), options, runtime: Arc::new(runtime) })
    }

    /// Runs a statement over the folder as it is now. Dropping the rows ends it.
    pub async fn run(&self, statement: &ReadStatement) -> Result<Answer> {
        let notes = Notes::default();
        let source = Source::open(self.fs.clone(), &self.folder, self.options.table_only, notes.clone()).await?;
        let context = self.context(source).await.map_err(|e| explain(&e))?;
        let plan = context.state().statement_to_plan(statement.0.clone()).await.map_err(|e| explain(&e))?;
        // What the statement's kind lets through the plan does not.
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|e| Error::invalid(format!("spanlake sql only reads: {}", explain(&e))))?;
        let answer = context.execute_logical_plan(plan).await.map_err(|e| explain(&e))?;
        let rows = answer.execute_stream().await.map_err(|e| explain(&e))?;
        let schema = rows.schema();
        let rows = rows.map(|batch| batch.map_err(|e| explain(&e))).boxed();
        Ok(Answer { schema, rows, notes })
    }

    async fn context(&self, source: Source) -> datafusion::error::Result<SessionContext> {
        let config = SessionConfig::new();
        let memory = self.options.memory;
        // Each thread sorts and merges for itself: with little memory fewer of them get further. What a sort keeps back
        // to merge what it spilled, and the batches it holds at least, are cut down too.
        let threads = config.target_partitions().min(memory / MEMORY_OF_A_THREAD).max(1);
        let reservation = config.options().execution.sort_spill_reservation_bytes.min(memory / 8 / threads);
        let config = config
            .with_target_partitions(threads)
            .with_batch_size((memory >> 14).clamp(1_024, 8_192))
            .with_sort_spill_reservation_bytes(reservation)
            .with_information_schema(true)
            .with_default_catalog_and_schema("spanlake", "public")
            .with_create_default_catalog_and_schema(true);
        let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(instants::InstantRule)];
        rules.extend(Analyzer::new().rules);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.runtime.clone())
            .with_default_features()
            .with_analyzer_rules(rules)
            .with_optimizer_rule(Arc::new(spans::tags::TagKeyRule))
            .with_optimizer_rule(Arc::new(views::TraceIdRule))
            .build();
        let context = SessionContext::new_with_state(state);
        views::register(&context, source).await?;
        Ok(context)
    }
}
