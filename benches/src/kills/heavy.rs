//! iceoryx2 and ipc-channel, for somebody to kill: what `ours.rs` does with our channel.

use super::ours::{NOTHING, Numbered, Place, Told, send_all, take_all};
use crate::Result;
use crate::peer::heavy::{Iceoryx, IpcChannel, poll, publish, told};
use ipc_channel::TryRecvError;
use ipc_channel::ipc::{IpcSender, channel};
use multiproc_shm::Shared;
use multiproc_sync::Event;
use std::thread;
use std::time::Instant;

/// A channel of iceoryx2, and that its receiver is there: before that, whatever is sent goes nowhere.
type Samples = (Iceoryx, Shared<Event>);

/// Its three senders and its receiver.
pub(super) fn iceoryx(link: Iceoryx) -> Result<[(Samples, fn((Place, Samples)) -> Told); 4]> {
    let samples = (link, Shared::new(Event::new())?);
    let works = [send_samples, send_samples, send_samples, receive_samples];
    Ok(works.map(|work: fn(_) -> _| (samples.clone(), work)))
}

fn send_samples((place, (link, is_there)): (Place, Samples)) -> Told {
    let ports = link.sending(2)?;
    is_there.wait();
    send_all(&place, |(who, number)| publish(&ports, &[who, number]))
}

fn receive_samples((place, (link, is_there)): (Place, Samples)) -> Told {
    let ports = link.receiving()?;
    is_there.set();
    take_all(3, &place, || {
        let until = Instant::now() + NOTHING;
        loop {
            let message = poll(&ports, |words| (words[0], words[1]))?;
            if message.is_some() || Instant::now() >= until {
                return Ok(message);
            }
            // Not by its event, see `peer/heavy.rs`.
            thread::yield_now();
        }
    })
}

/// Three senders and the receiver of an ipc-channel.
pub(super) fn ipc_channel() -> Result<[(IpcChannel, fn((Place, IpcChannel)) -> Told); 4]> {
    let link = IpcChannel::new()?;
    Ok([send, send, send, receive].map(|work: fn(_) -> _| (link.clone(), work)))
}

fn send((place, link): (Place, IpcChannel)) -> Told {
    let sender: IpcSender<Numbered> = link.meet()?;
    send_all(&place, |message| sender.send(message).map_err(told))
}

fn receive((place, link): (Place, IpcChannel)) -> Told {
    let (sender, receiver) = channel::<Numbered>().map_err(told)?;
    for _ in 0..3 {
        link.come(sender.clone())?;
    }
    drop(sender);
    take_all(3, &place, || match receiver.try_recv_timeout(NOTHING) {
        Ok(message) => Ok(Some(message)),
        // Nobody sends any more, as is told at once.
        Err(TryRecvError::Empty | TryRecvError::IpcError(_)) => Ok(None),
    })
}
