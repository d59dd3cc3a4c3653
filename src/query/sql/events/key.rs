//! Which event a row is of, in a column that sorts fast: a digest of project, cluster and uid.

use crate::query::sql::stored::digest;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The columns that tell events apart.
pub const IDENTITY: [&str; 3] = ["project", "cluster", "uid"];

/// The name of the column of keys.
pub const KEY: &str = "event_key";

/// The type of keys: numbers of 126 bits, which have at most 38 digits. DataFusion merges sorted numbers faster than
/// sorted bytes.
pub const KEY_TYPE: DataType = DataType::Decimal128(38, 0);
const KEY_BITS: u32 = 126;

/// The key of an event.
fn key_of(project: &str, cluster: &str, uid: &str) -> i128 {
    (digest(&(project, cluster, uid)) >> (u128::BITS - KEY_BITS)) as i128
}

fn columns<'a>(arrays: &'a [ArrayRef], function: &str) -> Result<[&'a StringArray; 3]> {
    let texts: Vec<&StringArray> = arrays.iter().filter_map(|array| array.as_string_opt::<i32>()).collect();
    match texts.as_slice() {
        [project, cluster, uid] => Ok([project, cluster, uid]),
        _ => exec_err!("{function} takes three texts"),
    }
}

fn keys<'a>([project, cluster, uid]: [&'a StringArray; 3]) -> impl Iterator<Item = i128> + 'a {
    (0..uid.len()).map(move |row| key_of(project.value(row), cluster.value(row), uid.value(row)))
}

fn texts() -> Signature {
    Signature::exact(vec![DataType::Utf8; IDENTITY.len()], Volatility::Immutable)
}

/// The column of keys.
pub fn key_column() -> Expr {
    let function = ScalarUDF::from(EventKey { signature: texts() });
    function.call(IDENTITY.map(col).to_vec()).alias(KEY)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EventKey {
    signature: Signature,
}

impl ScalarUDFImpl for EventKey {
    fn name(&self) -> &str {
        KEY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(KEY_TYPE)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let keys = Decimal128Array::from_iter_values(keys(columns(&arrays, KEY)?)).with_data_type(KEY_TYPE);
        Ok(ColumnarValue::Array(Arc::new(keys)))
    }
}

/// A set of keys in memory of a fixed size: it may hold keys that were not put in, and holds all that were.
#[derive(Debug)]
pub struct KeySet {
    /// A power of two of bits, one for all keys with the same low bits.
    bits: Vec<AtomicU64>,
    any: AtomicBool,
    _memory: MemoryReservation,
}

impl KeySet {
    /// An empty set that takes at most the given part of the memory.
    pub fn new(memory: &Arc<dyn MemoryPool>, part: usize) -> Result<KeySet> {
        let limit = match memory.memory_limit() {
            MemoryLimit::Finite(limit) => limit,
            _ => usize::MAX,
        };
        let bytes = (limit / part).clamp(64 << 10, 16 << 20);
        // The power of two below.
        let bytes = (bytes / 2 + 1).next_power_of_two();
        let reservation = MemoryConsumer::new("which events are asked for").register(memory);
        reservation.try_grow(bytes)?;
        let bits = std::iter::repeat_with(AtomicU64::default).take(bytes / size_of::<u64>()).collect();
        Ok(KeySet { bits, any: AtomicBool::new(false), _memory: reservation })
    }

    /// The word of a key, and its bit there.
    fn place(&self, key: i128) -> (Option<&AtomicU64>, u64) {
        let bit = key as usize;
        (self.bits.get((bit / 64) & (self.bits.len() - 1)), 1 << (bit % 64))
    }

    pub fn insert(&self, key: i128) {
        let (word, bit) = self.place(key);
        if let Some(word) = word {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        self.any.store(true, Ordering::Release);
    }

    pub fn may_hold(&self, key: i128) -> bool {
        let (word, bit) = self.place(key);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether a row is of an event of the set.
    pub fn holds_row(self: &Arc<Self>) -> Expr {
        let function = ScalarUDF::from(InSet { signature: texts(), set: self.clone() });
        function.call(IDENTITY.map(col).to_vec())
    }
}

/// A set changes while it is asked, so two are the same only if they are one.
#[derive(Debug)]
struct InSet {
    signature: Signature,
    set: Arc<KeySet>,
}

impl PartialEq for InSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.set, &other.set)
    }
}

impl Eq for InSet {}

impl Hash for InSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.set).hash(state);
    }
}

impl ScalarUDFImpl for InSet {
    fn name(&self) -> &str {
        "is_asked_for"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let held: BooleanArray = keys(columns(&arrays, self.name())?).map(|key| Some(self.set.may_hold(key))).collect();
        Ok(ColumnarValue::Array(Arc::new(held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    #[test]
    fn a_key_has_at_most_38_digits_and_tells_where_each_text_ends() {
        let keys = [key_of("a", "b", "c"), key_of("ab", "", "c"), key_of("a", "bc", ""), key_of("", "ab", "c")];
        for (place, key) in keys.iter().enumerate() {
            assert!((0..10_i128.pow(38)).contains(key), "{key}");
            assert!(!keys[..place].contains(key));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_in_a_part_of_the_memory() {
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(32 << 20));
        let set = KeySet::new(&memory, 16).unwrap();
        assert_eq!(memory.reserved(), 2 << 20);
        assert!(set.is_empty());
        let held: Vec<i128> = (0..1_000).map(|n| key_of("default", "c", &n.to_string())).collect();
        held.iter().for_each(|key| set.insert(*key));
        assert!(held.iter().all(|key| set.may_hold(*key)));
        let others = (0..1_000).filter(|n| set.may_hold(key_of("other", "c", &n.to_string()))).count();
        assert!(others < 5, "{others}");
        drop(set);
        assert_eq!(memory.reserved(), 0);
        assert!(KeySet::new(&(Arc::new(GreedyMemoryPool::new(1)) as Arc<dyn MemoryPool>), 16).is_err());
    }
}
