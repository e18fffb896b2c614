//! Answers that last no longer than the token they are given to.
//!
//! Used by [`super::admit`] for every call that a token lets in. A token is looked at when a request comes in; an answer may go on for days after that,
//! as those to watchers do, and must end when the token does.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Error, body::Body, http::HeaderMap};
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tonic::Status;

/// Ends with the reason once the token of a call is good no longer.
pub(super) type TokenEnd = Pin<Box<dyn Future<Output = Status> + Send>>;

/// The body of an answer, broken off with a status when its token ends. What was said before that is passed on, and so is a regular end: whoever takes
/// back their own token is told so.
pub(super) struct Lasting {
    body: Body,
    token_end: TokenEnd,
    refused: Option<Status>,
    is_over: bool,
}

impl Lasting {
    /// `body` until `token_end`.
    pub(super) fn until(token_end: TokenEnd, body: Body) -> Body {
        // Metrics and most small answers are complete when they begin.
        if body.is_end_stream() || body.size_hint().exact().is_some() {
            return body;
        }
        Body::new(Self {
            body,
            token_end,
            refused: None,
            is_over: false,
        })
    }

    fn look_at_the_token(&mut self, context: &mut Context<'_>) {
        if self.refused.is_none()
            && let Poll::Ready(status) = self.token_end.as_mut().poll(context)
        {
            self.refused = Some(status);
        }
    }

    fn break_off(&mut self, status: &Status) -> Frame<Bytes> {
        self.is_over = true;
        self.body = Body::empty();
        let mut trailers = HeaderMap::new();
        // It fails for text that is no header only; then the answer ends without a word.
        let _ = status.add_header(&mut trailers);
        Frame::trailers(trailers)
    }
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = Pin::new(&mut self.body).poll_frame(context);
        let was_refused = self.refused.is_some();
        self.look_at_the_token(context);
        let goes_on = match &next {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_data() && was_refused,
            Poll::Ready(_) => false,
        };
        match self.refused.take() {
            Some(status) if goes_on => Poll::Ready(Some(Ok(self.break_off(&status)))),
            refused => {
                self.refused = refused;
                next
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
