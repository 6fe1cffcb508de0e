use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows what is drawn, for so many columns and lines, until `q`, escape or ctrl-C is pressed.
pub(crate) fn run(
    out: &mut impl Write,
    interval: Duration,
    mut draw: impl FnMut(usize, usize) -> io::Result<String>,
) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return Err(io::Error::other("standard output is no terminal: use --once or --json"));
    }
    let _restored = Raw::enter(out)?;
    loop {
        let (columns, lines) = terminal::size()?;
        let text = draw(columns.into(), lines.into())?;
        queue!(out, cursor::MoveTo(0, 0))?;
        let mut first = true;
        for line in text.lines() {
            if !first {
                out.write_all(b"\r\n")?;
            }
            first = false;
            out.write_all(line.as_bytes())?;
            queue!(out, Clear(ClearType::UntilNewLine))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()?;
        if is_over(Instant::now() + interval)? {
            return Ok(());
        }
    }
}

/// Waits until then, or until the terminal has another size; tells whether it was asked to end.
fn is_over(until: Instant) -> io::Result<bool> {
    while event::poll(until.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            Event::Key(key) => {
                let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
                    KeyCode::Char('c') if is_interrupt => return Ok(true),
                    _ => {}
                }
            }
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// The terminal as the program needs it; dropped, it is as it was, also after a panic.
struct Raw;

impl Raw {
    fn enter(out: &mut impl Write) -> io::Result<Raw> {
        terminal::enable_raw_mode()?;
        let raw = Raw;
        execute!(out, EnterAlternateScreen, cursor::Hide)?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
}
