/// Placeholder
#[derive(Debug, thiserror::Error)]
#[error("encode")]
pub struct EncodeError;
/// Placeholder
#[derive(Debug, thiserror::Error)]
#[error("decode")]
pub struct DecodeError;
