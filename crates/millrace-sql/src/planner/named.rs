//! Functions that DataFusion resolves by name and knows nothing else about.

use std::hash::{Hash, Hasher};

use arrow::datatypes::DataType;
use datafusion_common::{Result, not_impl_err};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::{
    Accumulator, AggregateUDFImpl, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl,
    Signature, Volatility,
};
use sqlparser::tokenizer::Span;

use super::desugar::Note;

/// A scalar function, operator or cast. Two of them are the same if they have one name and target,
/// wherever they stand, so that `GROUP BY UPPER(x)` is found again in `SELECT UPPER(x)`.
#[derive(Debug)]
pub(crate) struct NamedFunction {
    /// With the number of its note, as DataFusion compares it with what it looked up.
    numbered: String,
    /// Without.
    pub function: String,
    pub span: Span,
    pub cast: Option<DataType>,
    signature: Signature,
}

impl NamedFunction {
    pub fn new(numbered: &str, name: &str, note: &Note) -> Self {
        NamedFunction {
            numbered: numbered.to_owned(),
            function: name.to_owned(),
            span: note.span,
            cast: note.cast.clone(),
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl PartialEq for NamedFunction {
    fn eq(&self, other: &Self) -> bool {
        (&self.function, &self.cast) == (&other.function, &other.cast)
    }
}

impl Eq for NamedFunction {}

impl Hash for NamedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.function, &self.cast).hash(state);
    }
}

impl ScalarUDFImpl for NamedFunction {
    fn name(&self) -> &str {
        &self.numbered
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        let cast = self.cast.as_ref().map(|cast| format!(" AS {cast}")).unwrap_or_default();
        Ok(format!("{}({}{cast})", self.function, args.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Types come later; `Null` fits everywhere until then.
    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("`{}` has not been given a meaning", self.function)
    }
}

/// An aggregate function, like [`NamedFunction`].
#[derive(Debug)]
pub(crate) struct NamedAggregate {
    pub name: String,
    pub span: Span,
    signature: Signature,
}

impl NamedAggregate {
    pub fn new(name: &str, note: &Note) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        NamedAggregate { name: name.to_owned(), span: note.span, signature }
    }
}

impl PartialEq for NamedAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NamedAggregate {}

impl Hash for NamedAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for NamedAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("`{}` has not been given a meaning", self.name)
    }
}
