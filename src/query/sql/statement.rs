//! Which statements are answered, and what is said of those that are not, or that are wrong.

use super::dialect::Spoken;
use super::views::VIEWS;
use crate::error::{Error, ErrorKind, Result};
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as Sql;

/// How many names are suggested for one that nothing has.
const SUGGESTIONS: usize = 3;

/// A statement that only reads.
#[derive(Clone, Debug)]
pub struct ReadStatement(pub(super) Statement);

/// Reads statements, parted by `;`.
///
/// # Errors
/// Invalid: one that is no SQL, or that would do anything but read.
pub fn parse(sql: &str) -> Result<Vec<ReadStatement>> {
    let parsed =
        DFParserBuilder::new(sql).with_dialect(&Spoken).build().and_then(|mut parser| parser.parse_statements());
    let statements = parsed.map_err(|error| explain(&error))?;
    statements
        .into_iter()
        .map(|statement| {
            only_reads(&statement)?;
            Ok(ReadStatement(statement))
        })
        .collect()
}

fn only_reads(statement: &Statement) -> Result<()> {
    let reads = match statement {
        Statement::Explain(explain) => return only_reads(&explain.statement),
        Statement::Statement(sql) => matches!(
            **sql,
            Sql::Query(_)
                | Sql::ExplainTable { .. }
                | Sql::ShowTables { .. }
                | Sql::ShowColumns { .. }
                | Sql::ShowFunctions { .. }
                | Sql::ShowVariable { .. }
        ),
        _ => false,
    };
    if reads { Ok(()) } else { Err(refused(&statement.to_string())) }
}

fn refused(statement: &str) -> Error {
    let words: Vec<String> = statement.split_whitespace().take(3).map(str::to_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (what, remedy) = match words.as_slice() {
        ["CREATE", "EXTERNAL", ..] => {
            ("CREATE EXTERNAL TABLE", "files cannot be named, only the views of the data folder")
        }
        ["COPY", ..] => ("COPY", "to keep an answer, use --format parquet --output FILE"),
        ["SET", ..] | ["RESET", ..] => ("SET", "settings are flags, see spanlake sql --help"),
        [what, ..] => (*what, "spans and events come in through `spanlake serve`"),
        [] => ("this", "write a SELECT"),
    };
    Error::invalid(format!("spanlake sql only reads: {what} is refused; {remedy}"))
}

/// An error of DataFusion's in a person's words, with a hint where a mistake is common.
pub fn explain(error: &DataFusionError) -> Error {
    match root(error) {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(error) => error.clone(),
            None => Error::internal(inner.to_string()),
        },
        DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let names: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
                Error::invalid(unknown("column", &field.name, &names))
            }
            other => Error::invalid(other.to_string()),
        },
        DataFusionError::ResourcesExhausted(what) => {
            let what = what.lines().next().unwrap_or_default();
            Error::new(ErrorKind::Busy, format!("{what}; give it more with --memory, or ask for less at once"))
        }
        DataFusionError::SQL(error, _) => {
            let text = error.to_string();
            let text = text.strip_prefix("sql parser error: ").unwrap_or(&text);
            Error::invalid(format!("this is no SQL: {text}"))
        }
        DataFusionError::Plan(what) => Error::invalid(planning(what)),
        DataFusionError::NotImplemented(what) => Error::invalid(format!("not supported: {what}")),
        other => {
            let text = other.strip_backtrace();
            if text.contains("DivideByZero") || text.contains("Divide by zero") {
                return Error::invalid("division by zero; nullif(divisor, 0) gives null instead");
            }
            Error::internal(text.strip_prefix("Execution error: ").unwrap_or(&text))
        }
    }
}

/// The error within its contexts.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        DataFusionError::External(inner) => inner.downcast_ref::<DataFusionError>().map_or(error, root),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            arrow::error::ArrowError::ExternalError(inner) => {
                inner.downcast_ref::<DataFusionError>().map_or(error, root)
            }
            _ => error,
        },
        _ => error,
    }
}

fn planning(what: &str) -> String {
    let missing = what.strip_prefix("table '").and_then(|rest| rest.split_once("' not found"));
    let Some((table, _)) = missing else { return what.lines().next().unwrap_or_default().to_owned() };
    let name = table.strip_prefix("spanlake.public.").unwrap_or(table);
    let is_file = name.contains(['/', '\\']) || ["parquet", "csv", "json"].iter().any(|end| name.ends_with(end));
    if is_file {
        return format!("there is no table {name:?}: files cannot be read, only {}", VIEWS.join(", "));
    }
    unknown("table", name, &VIEWS)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let mut near: Vec<(usize, &str)> = known.iter().map(|known| (distance(name, known), *known)).collect();
    near.sort_unstable();
    near.dedup();
    let close = name.chars().count().div_ceil(2).max(1);
    // Of tables there are few enough to name them all.
    let few = known == VIEWS;
    let near: Vec<&str> = near
        .into_iter()
        .filter(|(far, _)| few || *far <= close)
        .map(|(_, known)| known)
        .take(SUGGESTIONS.max(if few { known.len() } else { 0 }))
        .collect();
    if near.is_empty() {
        return format!("there is no {what} {name:?}; `describe spans` lists the columns, `show tables` the tables");
    }
    let verb = if few { "there are" } else { "did you mean" };
    let end = if few { "" } else { "?" };
    format!("there is no {what} {name:?}; {verb} {}{end}", near.join(", "))
}

/// How many letters must be put in, taken out or changed to make one text of the other; nothing for a part of a name.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (above, to) in row.iter().skip(1).zip(&b) {
            left = (diagonal + usize::from(!from.eq_ignore_ascii_case(to))).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_more_than_read_is_refused_by_its_name() {
        for (sql, said) in [
            ("insert into spans values (1)", "INSERT"),
            ("delete from spans", "DELETE"),
            ("update spans set name = 'x'", "UPDATE"),
            ("drop table spans", "DROP"),
            ("create table t as select 1", "CREATE"),
            ("create view v as select 1", "CREATE"),
            ("create external table t stored as csv location '/etc/passwd'", "CREATE EXTERNAL TABLE"),
            ("copy (select 1) to '/tmp/x.csv'", "COPY"),
            ("copy spans to '/tmp/x.parquet'", "COPY"),
            ("set datafusion.execution.batch_size = 1", "SET"),
            ("explain copy spans to '/tmp/x.parquet'", "COPY"),
            ("explain analyze insert into spans values (1)", "INSERT"),
            ("begin", "BEGIN"),
            ("prepare p as select 1", "PREPARE"),
            ("select 1; drop table spans", "DROP"),
        ] {
            let error = parse(sql).unwrap_err();
            let start = format!("spanlake sql only reads: {said} is refused; ");
            assert!(error.message().starts_with(&start), "{sql}: {error}");
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn what_reads_is_taken_one_or_several_at_a_time() {
        for (sql, count) in [
            ("select 1", 1),
            ("SELECT 1; SELECT 2;", 2),
            ("with a as (select 1) select * from a", 1),
            ("explain select 1", 1),
            ("explain analyze verbose select 1", 1),
            ("describe spans", 1),
            ("show tables", 1),
            ("show columns from spans", 1),
            ("show all", 1),
            ("values (1), (2)", 1),
            ("select namespace, cluster, uid from events group by namespace, cluster order by uid, cluster", 1),
            ("select count(*), cluster from events group by 2", 1),
            ("", 0),
        ] {
            assert_eq!(parse(sql).unwrap().len(), count, "{sql}");
        }
    }

    #[test]
    fn an_unknown_name_brings_the_nearest_known_ones() {
        let known = ["service", "remote_service", "span_id", "name", "trace_id"];
        assert_eq!(unknown("column", "servce", &known), "there is no column \"servce\"; did you mean service?");
        assert_eq!(
            unknown("column", "zzzzzz", &known),
            "there is no column \"zzzzzz\"; `describe spans` lists the columns, `show tables` the tables"
        );
        assert_eq!(
            planning("table 'spanlake.public.span' not found"),
            "there is no table \"span\"; there are spans, tags, events, traces, annotations, event_rows"
        );
    }
}
