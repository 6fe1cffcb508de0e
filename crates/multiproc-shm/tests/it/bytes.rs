use crate::util::{transfer, transfer_as};
use multiproc_core::codec::Limits;
use multiproc_shm::{SharedBytes, SharedBytesMut};

#[test]
fn frozen_bytes_travel() {
    for len in [0, 1, 4095, 4096, 4097, 1 << 20] {
        let mut bytes = SharedBytesMut::zeroed(len).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = index as u8);
        let bytes = bytes.freeze().unwrap();
        let other = transfer(&bytes);
        assert_eq!(bytes.len(), len);
        assert_eq!(bytes, other);
        assert!(other.iter().enumerate().all(|(index, byte)| *byte == index as u8));
        assert_eq!(transfer_as::<_, SharedBytes>(&bytes, &Limits::untrusted()).unwrap(), bytes);
    }
}

#[test]
fn copies_clones_and_conversions_are_equal() {
    let bytes = SharedBytes::copy_from(b"hello").unwrap();
    assert_eq!(bytes, SharedBytes::try_from(&b"hello"[..]).unwrap());
    assert_eq!(bytes.clone().as_ptr(), bytes.as_ptr());
    assert_eq!(bytes.as_ref(), b"hello");
    assert!(SharedBytes::copy_from(b"").unwrap().is_empty());
}

#[test]
fn the_message_is_small_whatever_the_size() {
    let bytes = SharedBytesMut::zeroed(8 << 20).unwrap().freeze().unwrap();
    let message = multiproc_core::codec::encode(&bytes).unwrap();
    assert!(message.bytes.len() < 16 && message.fds.len() == 1);
}
