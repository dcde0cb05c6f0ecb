//! One file for each request: `handle` takes the request and gives the response. The table that
//! names them all is in `dispatch`.

pub(super) mod api_versions;
pub(super) mod metadata;
