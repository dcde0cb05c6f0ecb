mod model;
mod records;
mod rules;
mod service;
