//! Answers that are sent as they come about.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc;

use super::answer::bytes;

/// Pieces that may wait for a slow reader.
const WAITING: usize = 4;

/// The stream is cut: the reader sees that the answer is not whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub(super) struct Cut;

/// The end that is written to.
#[derive(Debug)]
pub(super) struct Writer {
    pieces: mpsc::Sender<Result<Bytes, Cut>>,
}

/// The reader has gone.
#[derive(Debug)]
pub(super) struct Gone;

struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes, Cut>>,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// A stream: the end to write to, and the body that it becomes.
pub(super) fn stream() -> (Writer, Body) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Writer { pieces: sender }, Body::new(Pieces { pieces: receiver }))
}

impl Writer {
    /// Sends a piece, once the reader has room for it.
    pub(super) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.pieces.send(Ok(piece.into())).await.map_err(|_| Gone)
    }

    /// Sends a document as one line.
    pub(super) async fn line(&self, document: &impl Serialize) -> Result<(), Gone> {
        self.lines(std::slice::from_ref(document)).await
    }

    /// Sends documents, one line each.
    pub(super) async fn lines(&self, documents: &[impl Serialize]) -> Result<(), Gone> {
        let mut text = Vec::new();
        for document in documents {
            text.extend_from_slice(&bytes(document));
            text.push(b'\n');
        }
        if text.is_empty() { Ok(()) } else { self.send(text).await }
    }

    /// Ends the answer so that the reader sees that it is not whole.
    pub(super) async fn cut(self) {
        // A reader that has gone does not need to be told.
        let _ = self.pieces.send(Err(Cut)).await;
    }

    /// Waits until the reader has gone.
    pub(super) async fn gone(&self) {
        self.pieces.closed().await;
    }
}
