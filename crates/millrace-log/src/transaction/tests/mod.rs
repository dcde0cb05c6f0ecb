mod model;
mod rules;
mod service;
mod stored;
