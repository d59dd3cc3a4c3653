mod decode;
mod law;
mod rules;
