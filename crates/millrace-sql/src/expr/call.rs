//! A call of a function, with its arguments typed, before it is known what it means.

use arrow::datatypes::DataType;
use sqlparser::tokenizer::Span;

use super::Typed;
use crate::error::{Fault, Result};
use crate::types;

/// A function's name, arguments and place.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub name: &'a str,
    pub args: Vec<Typed>,
    pub span: Span,
    /// The target of a cast.
    pub cast: Option<&'a DataType>,
}

impl Call<'_> {
    /// An error about this call.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.span, message)
    }

    /// That the function is not for arguments of these types.
    pub fn mismatch(&self) -> Fault {
        let is_word = self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let types: Vec<String> = self.args.iter().map(Typed::type_name).collect();
        match (is_word, types.as_slice()) {
            (false, [left, right]) => {
                self.fault(format!("`{}` cannot join {left} and {right}", self.name))
            }
            _ => self.fault(format!("`{}` does not take ({})", self.name, types.join(", "))),
        }
    }

    /// Checks the number of arguments.
    pub fn expect(&self, counts: impl std::ops::RangeBounds<usize>) -> Result<()> {
        if counts.contains(&self.args.len()) { Ok(()) } else { Err(self.mismatch()) }
    }

    /// The arguments, if there are `N` of them.
    pub fn take<const N: usize>(&mut self) -> Result<[Typed; N]> {
        self.expect(N..=N)?;
        std::mem::take(&mut self.args).try_into().map_err(|_| Fault::bug("arguments vanished"))
    }

    /// Whether any argument may be null.
    pub fn nullable(&self) -> bool {
        self.args.iter().any(|arg| arg.nullable)
    }

    /// Checks that all arguments are strings, or NULL, and makes them so.
    pub fn texts(&mut self) -> Result<()> {
        self.each(&DataType::Utf8)
    }

    /// Checks that all arguments have `data_type`, or are NULL, and makes them so.
    pub fn each(&mut self, data_type: &DataType) -> Result<()> {
        if !self
            .args
            .iter()
            .all(|arg| arg.data_type == *data_type || arg.data_type == DataType::Null)
        {
            return Err(self.mismatch());
        }
        self.args =
            std::mem::take(&mut self.args).into_iter().map(|arg| arg.widened(data_type)).collect();
        Ok(())
    }

    /// Refuses FLOAT beside DOUBLE: Flink gives the type of whichever stands first.
    pub fn refuse_mixed_floats(&self, places: impl Iterator<Item = usize> + Clone) -> Result<()> {
        let has = |data_type: DataType| {
            places.clone().any(|place| self.args[place].data_type == data_type)
        };
        let mixed = has(DataType::Float32) && has(DataType::Float64);
        if mixed {
            Err(self.mismatch().hint("cast one of them to the type of the other"))
        } else {
            Ok(())
        }
    }

    /// Brings the arguments from `first` on, every `step`th, to the type that they have in common.
    pub fn unify(&mut self, places: impl Iterator<Item = usize> + Clone) -> Result<DataType> {
        let mut common = DataType::Null;
        for place in places.clone() {
            common = types::common_type(&common, &self.args[place].data_type)
                .ok_or_else(|| self.mismatch())?;
        }
        for place in places {
            let arg = self.args[place].clone();
            self.args[place] = arg.widened(&common);
        }
        Ok(common)
    }
}
