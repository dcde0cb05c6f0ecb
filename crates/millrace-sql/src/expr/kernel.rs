//! Functions of our own, as DataFusion evaluates them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::Typed;

/// What a kernel computes: one array of as many rows as its arguments.
pub(crate) type Compute = fn(&[ArrayRef], &DataType) -> Result<ArrayRef, ArrowError>;

/// A scalar function that takes arrays. Its arguments have exactly the types that it expects; two
/// kernels of one name and result type are the same.
pub(crate) struct Kernel {
    name: &'static str,
    signature: Signature,
    result: DataType,
    nullable: bool,
    compute: Compute,
}

impl Kernel {
    /// A call of `compute` as an expression.
    pub fn call(
        name: &'static str,
        args: Vec<Typed>,
        result: DataType,
        nullable: bool,
        compute: Compute,
    ) -> Typed {
        let kernel = Kernel {
            name,
            signature: Signature::variadic_any(Volatility::Immutable),
            result: result.clone(),
            nullable,
            compute,
        };
        let function = Arc::new(ScalarUDF::new_from_impl(kernel));
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let call = datafusion_expr::expr::ScalarFunction::new_udf(function, args);
        Typed::new(Expr::ScalarFunction(call), result, nullable)
    }
}

impl ScalarUDFImpl for Kernel {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, self.result.clone(), self.nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Constants are computed once and stay constants.
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?;
        let result = (self.compute)(&arrays, &self.result)
            .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))?;
        if constant && result.len() == 1 {
            let scalar = datafusion_common::ScalarValue::try_from_array(&result, 0)?;
            return Ok(ColumnarValue::Scalar(scalar));
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.result) == (other.name, &other.result)
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, &self.result).hash(state);
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({} -> {})", self.name, self.result)
    }
}
