use crate::util::{transfer, transfer_as};
use multiproc_core::codec::Limits;
use multiproc_shm::{Pod, SharedSlice};
use std::fmt::Debug;

fn round_trip<T: Pod + PartialEq + Debug>(elements: &[T]) {
    let slice = SharedSlice::from_slice(elements).unwrap();
    let other = transfer(&slice);
    assert_eq!(other.len(), elements.len());
    assert_eq!(other.to_vec(), elements);
    for (index, element) in elements.iter().enumerate() {
        assert_eq!(slice.get(index), Some(*element));
    }
    for (index, element) in elements.iter().enumerate() {
        other.set(elements.len() - 1 - index, *element);
    }
    let reversed: Vec<T> = elements.iter().rev().copied().collect();
    assert_eq!(slice.to_vec(), reversed);
    assert_eq!(slice.get(elements.len()), None);
}

#[test]
fn elements_of_every_alignment() {
    round_trip::<u8>(&[1, 2, 3, 4, 5]);
    round_trip::<[u8; 3]>(&[[1, 2, 3], [4, 5, 6]]);
    round_trip::<i16>(&[-1, 2, -3]);
    round_trip::<[u16; 3]>(&[[1, 2, 3], [4, 5, 6], [7, 8, 9]]);
    round_trip::<f32>(&[1.5, -2.5]);
    round_trip::<u64>(&[u64::MAX, 1, 2]);
    round_trip::<f64>(&(0..1000).map(f64::from).collect::<Vec<_>>());
    round_trip::<u128>(&[u128::MAX, 1]);
    round_trip::<[u32; 5]>(&[[1, 2, 3, 4, 5]]);
    round_trip::<u32>(&[]);
}

#[test]
fn ranges_are_copied() {
    let slice = SharedSlice::<u32>::new(10).unwrap();
    slice.copy_from(3, &[1, 2, 3]);
    let mut out = [9; 4];
    slice.copy_to(2, &mut out);
    assert_eq!(out, [0, 1, 2, 3]);
    slice.copy_to(10, &mut []);
    for bad in [(8, 3), (11, 0), (usize::MAX, 1)] {
        let result = std::panic::catch_unwind(|| slice.copy_to(bad.0, &mut vec![0; bad.1]));
        assert!(result.is_err(), "{bad:?}");
    }
}

#[test]
#[should_panic(expected = "elements 3..4 of a shared slice of 3")]
fn an_index_beyond_the_end_panics() {
    SharedSlice::<u8>::new(3).unwrap().load(3);
}

#[test]
fn elements_are_never_seen_half_written() {
    let slice = SharedSlice::<u64>::new(1).unwrap();
    let other = transfer(&slice);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..100_000u64 {
                other.set(0, if round % 2 == 0 { u64::MAX } else { 0 });
            }
        });
        for _ in 0..100_000 {
            assert!([0, u64::MAX].contains(&slice.load(0)));
        }
    });
}

#[test]
fn another_type_of_element_is_refused() {
    let slice = SharedSlice::<u32>::new(4).unwrap();
    assert!(transfer_as::<_, SharedSlice<u16>>(&slice, &Limits::trusted()).is_err());
    assert!(transfer_as::<_, SharedSlice<i32>>(&slice, &Limits::trusted()).is_err());
    assert_eq!(transfer_as::<_, SharedSlice<u32>>(&slice, &Limits::untrusted()).unwrap().len(), 4);
}

#[test]
fn a_length_that_overflows_is_an_error() {
    let error = SharedSlice::<u64>::new(usize::MAX).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
}
