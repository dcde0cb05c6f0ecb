//! The connector `datagen`: rows out of nothing, for trying and measuring.

mod generator;
mod pace;
mod source;

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, Field};
use millrace_core::{BadRecordPolicy, Error, Result};

use self::generator::{Generator, Values};
use self::source::DatagenSource;
use crate::format::parse;
use crate::format::sql_type::sql_type;
use crate::{Connector, Options, SinkTable, SourceTable, TableSpec};

/// Flink's default of `rows-per-second`.
const ROWS_PER_SECOND: u64 = 10_000;
/// Flink's default of `fields.*.length`.
const TEXT_LENGTH: usize = 100;
/// A batch of such texts must be addressable with 31 bits.
const LONGEST_TEXT: usize = 1 << 16;

/// Makes rows.
#[derive(Debug)]
pub struct Datagen;

impl Connector for Datagen {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn source(&self, table: &TableSpec) -> Result<SourceTable> {
        let options = &table.options;
        if !table.partitioned_by.is_empty() {
            return Err(Error::fix_input(format!(
                "table `{}` cannot be partitioned: connector `datagen` has no partitions",
                table.name
            )));
        }
        let seed = options.get("seed")?.unwrap_or(0);
        let mut rows: Option<u64> = options.get("number-of-rows")?;
        let mut generators = Vec::new();
        for field in table.schema.fields() {
            let column = ColumnOptions { options, field };
            let (values, end) = column.values()?;
            if let Some(end) = end {
                rows = Some(rows.map_or(end, |rows| rows.min(end)));
            }
            generators.push(Generator::new(field, values, seed, column.null_rate()?));
        }
        let read = crate::format::ReadSchema::new(table)?;
        let source = DatagenSource {
            generators: read.projection.iter().map(|&index| generators[index].clone()).collect(),
            schema: read.projected,
            rows,
            rows_per_second: positive(options, "rows-per-second", ROWS_PER_SECOND)?,
            splits: positive(options, "splits", 1)?,
        };
        options.finish(&table.name)?;
        Ok(SourceTable {
            source: Arc::new(source),
            bad_records: BadRecordPolicy::Fail,
            dead_letters: None,
        })
    }

    fn sink(&self, table: &TableSpec) -> Result<SinkTable> {
        Err(Error::fix_input(format!(
            "table `{}` cannot be written to: connector `datagen` is for reading",
            table.name
        )))
    }
}

fn positive(options: &Options, name: &str, default: u64) -> Result<u64> {
    match options.get(name)?.unwrap_or(default) {
        0 => Err(Error::fix_input(format!("option `{name}` has to be at least 1"))),
        count => Ok(count),
    }
}

/// The options `fields.<column>.…`.
struct ColumnOptions<'a> {
    options: &'a Options,
    field: &'a Field,
}

impl ColumnOptions<'_> {
    fn name(&self, option: &str) -> String {
        format!("fields.{}.{option}", self.field.name())
    }

    fn wrong(&self, option: &str, why: &str) -> Error {
        Error::fix_input(format!("option `{}` {why}", self.name(option)))
    }

    /// What the column has, and after how many rows it ends.
    fn values(&self) -> Result<(Values, Option<u64>)> {
        match self.options.text(&self.name("kind")).unwrap_or("random") {
            "random" => Ok((self.random()?, None)),
            "sequence" => {
                let (values, end) = self.sequence()?;
                Ok((values, Some(end)))
            }
            other => Err(self
                .wrong("kind", &format!("cannot be `{other}`"))
                .hint("use `random` or `sequence`")),
        }
    }

    fn sequence(&self) -> Result<(Values, u64)> {
        let limits: (i128, i128) = match self.field.data_type() {
            DataType::Utf8 | DataType::Int64 | DataType::Float32 | DataType::Float64 => {
                (i64::MIN.into(), i64::MAX.into())
            }
            DataType::Decimal128(precision, scale) => {
                let whole = (i32::from(*precision) - i32::from(*scale)).clamp(0, 38) as u32;
                let most = 10i128.pow(whole) - 1;
                (-most, most)
            }
            other => whole_limits(other).ok_or_else(|| {
                self.wrong("kind", &format!("cannot be `sequence` for a {}", sql_type(other)))
            })?,
        };
        let start: i64 = self.options.required(&self.name("start"))?;
        let end: i64 = self.options.required(&self.name("end"))?;
        if i128::from(start) < limits.0 {
            return Err(self.wrong("start", "is too small for its type"));
        }
        if i128::from(end) > limits.1 {
            return Err(self.wrong("end", "is too large for its type"));
        }
        if end < start {
            return Err(self.wrong("end", "is before its start"));
        }
        let rows = i128::from(end) - i128::from(start) + 1;
        Ok((Values::Sequence { start }, u64::try_from(rows).unwrap_or(u64::MAX)))
    }

    fn random(&self) -> Result<Values> {
        match self.field.data_type() {
            DataType::Boolean => Ok(Values::Booleans),
            &DataType::Decimal128(precision, scale) => {
                let most = 10i128.pow(u32::from(precision)) - 1;
                let decimal =
                    |option: &str, default: i128| match self.options.text(&self.name(option)) {
                        None => Ok(default),
                        Some(text) => parse::decimal(text.as_bytes(), precision, scale)
                            .ok_or_else(|| self.wrong(option, &format!("cannot be `{text}`"))),
                    };
                let (min, max) = (decimal("min", -most)?, decimal("max", most)?);
                self.ordered(min <= max)?;
                Ok(Values::Integers { min, max })
            }
            DataType::Float32 => self.floats(f64::from(f32::MAX)),
            DataType::Float64 => self.floats(f64::MAX),
            DataType::Utf8 | DataType::Binary => {
                let length = self.options.get(&self.name("length"))?.unwrap_or(TEXT_LENGTH);
                if length > LONGEST_TEXT {
                    return Err(self.wrong("length", &format!("is more than {LONGEST_TEXT}")));
                }
                let vary = self.options.get(&self.name("var-len"))?.unwrap_or(false);
                Ok(Values::Text { length, vary })
            }
            DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) => {
                Ok(Values::Past { max_past_ms: 0 })
            }
            DataType::Timestamp(..) => {
                let name = self.name("max-past");
                let past = self.options.text(&name).map(|text| crate::duration::parse(&name, text));
                let past = past.transpose()?.unwrap_or(Duration::ZERO);
                let max_past_ms = u64::try_from(past.as_millis())
                    .map_err(|_| self.wrong("max-past", "is too long"))?;
                Ok(Values::Past { max_past_ms })
            }
            other => {
                let (least, most) = whole_limits(other).ok_or_else(|| {
                    Error::fix_input(format!(
                        "connector `datagen` cannot make the type {} of column `{}`",
                        sql_type(other),
                        self.field.name()
                    ))
                })?;
                let min: i64 = self.options.get(&self.name("min"))?.unwrap_or(least as i64);
                let max: i64 = self.options.get(&self.name("max"))?.unwrap_or(most as i64);
                let (min, max) = (i128::from(min), i128::from(max));
                if min < least {
                    return Err(self.wrong("min", "is too small for its type"));
                }
                if max > most {
                    return Err(self.wrong("max", "is too large for its type"));
                }
                self.ordered(min <= max)?;
                Ok(Values::Integers { min, max })
            }
        }
    }

    fn floats(&self, most: f64) -> Result<Values> {
        let min: f64 = self.options.get(&self.name("min"))?.unwrap_or(0.0);
        let max: f64 = self.options.get(&self.name("max"))?.unwrap_or(most);
        self.ordered(min <= max && min >= -most && max <= most)?;
        Ok(Values::Floats { min, max })
    }

    fn ordered(&self, ordered: bool) -> Result<()> {
        if ordered {
            return Ok(());
        }
        Err(self.wrong("min", "is larger than `max`, or they do not fit the type"))
    }

    fn null_rate(&self) -> Result<f64> {
        let rate: f64 = self.options.get(&self.name("null-rate"))?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&rate) {
            return Err(self.wrong("null-rate", "has to be from 0 to 1"));
        }
        if rate > 0.0 && !self.field.is_nullable() {
            return Err(self.wrong("null-rate", "is not possible: the column is NOT NULL"));
        }
        Ok(rate)
    }
}

fn whole_limits(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        _ => return None,
    })
}
