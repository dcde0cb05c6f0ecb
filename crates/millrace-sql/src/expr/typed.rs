//! An expression with Flink's type, ready for evaluation.

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::ScalarValue;
use datafusion_expr::{BinaryExpr, Cast, Expr, Operator};
use std::sync::Arc;

use crate::types;

/// An expression over the columns of a node, and what it gives. Nothing in it is left to
/// DataFusion's own coercions: operands of an operator have one type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Typed {
    pub expr: Expr,
    pub data_type: DataType,
    pub nullable: bool,
}

impl Typed {
    pub fn new(expr: Expr, data_type: DataType, nullable: bool) -> Self {
        Typed { expr, data_type, nullable }
    }

    /// A column of the input by its name.
    pub fn column(field: &Field) -> Self {
        let column = datafusion_common::Column::new_unqualified(field.name());
        Typed::new(Expr::Column(column), field.data_type().clone(), field.is_nullable())
    }

    /// A constant.
    pub fn literal(value: ScalarValue) -> Self {
        let (data_type, nullable) = (value.data_type(), value.is_null());
        Typed::new(Expr::Literal(value, None), data_type, nullable)
    }

    /// The constant that this is, if it is one.
    pub fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        }
    }

    /// The text that this is, if it is a constant string.
    pub fn as_text(&self) -> Option<&str> {
        match self.as_literal() {
            Some(ScalarValue::Utf8(Some(text))) => Some(text),
            _ => None,
        }
    }

    /// Brings a value to a type that holds all its values; does nothing when it has it. Only for
    /// pairs that [`types::common_type`] joins.
    #[must_use]
    pub fn widened(self, to: &DataType) -> Self {
        if self.data_type == *to {
            return self;
        }
        if let Some(value) = self.as_literal()
            && let Ok(cast) = value.cast_to(to)
        {
            return Typed::new(Expr::Literal(cast, None), to.clone(), self.nullable);
        }
        let field: FieldRef = Arc::new(Field::new("", to.clone(), true));
        let expr = Expr::Cast(Cast::new_from_field(Box::new(self.expr), field));
        Typed::new(expr, to.clone(), self.nullable)
    }

    /// `left op right` with the given type; the operands are as the operator wants them.
    pub fn binary(left: Typed, op: Operator, right: Typed, data_type: DataType) -> Self {
        let nullable = left.nullable || right.nullable;
        let expr = BinaryExpr::new(Box::new(left.expr), op, Box::new(right.expr));
        Typed::new(Expr::BinaryExpr(expr), data_type, nullable)
    }

    /// The type's name in Flink, for messages.
    pub fn type_name(&self) -> String {
        types::type_name(&self.data_type)
    }
}
