//! Every refusal, and the only file that chooses a status.
//!
//! A handler answers with a [`Problem`]; what a client reads of it is made in one place, where the request's id is known.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::bundle::BundleError;
use crate::catalog::{RouteError, SwapError};
use crate::engine::ItemError;
use crate::storage::StorageError;
use crate::store::StoreError;

/// What went wrong, in the words of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body is not JSON.
    MalformedJson,
    /// Nobody that the server knows asks.
    Unauthorized,
    /// Who asks may not have this.
    Forbidden,
    /// The server has no administrator.
    AdminDisabled,
    /// No such path or thing.
    NotFound,
    /// No such model or version.
    UnknownModel,
    /// The path does not take the method.
    MethodNotAllowed,
    /// The client was too slow.
    RequestTimeout,
    /// It contradicts what is there.
    Conflict,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body is of a kind that is not read.
    UnsupportedMediaType,
    /// JSON, but not a request.
    InvalidRequest,
    /// Nothing is left of the text.
    EmptyText,
    /// The text is over the limit.
    TextTooLong,
    /// The request has more texts than the limit.
    TooManyItems,
    /// No model reads the text.
    UnsupportedLanguage,
    /// The key has come too often.
    RateLimited,
    /// No place in the queue.
    Overloaded,
    /// A model does not serve.
    NotReady,
    /// The server is going away.
    Draining,
    /// The server was started without a database.
    StoreDisabled,
    /// The database or the model storage does not answer.
    StoreUnavailable,
    /// No answer in time.
    DeadlineExceeded,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// The name that clients and metrics read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::AdminDisabled => "admin_disabled",
            Self::NotFound => "not_found",
            Self::UnknownModel => "unknown_model",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidRequest => "invalid_request",
            Self::EmptyText => "empty_text",
            Self::TextTooLong => "text_too_long",
            Self::TooManyItems => "too_many_items",
            Self::UnsupportedLanguage => "unsupported_language",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::StoreDisabled => "store_disabled",
            Self::StoreUnavailable => "store_unavailable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Internal => "internal",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::MalformedJson => "The body is not JSON",
            Self::Unauthorized => "The server does not know who asks",
            Self::Forbidden => "This is not for who asks",
            Self::AdminDisabled => "The server has no administrator",
            Self::NotFound => "There is nothing here",
            Self::UnknownModel => "There is no such model",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::Conflict => "This contradicts what is there",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body is of a kind that is not read here",
            Self::InvalidRequest => "The request does not say what it should",
            Self::EmptyText => "The text is empty",
            Self::TextTooLong => "The text is too long",
            Self::TooManyItems => "The request has too many texts",
            Self::UnsupportedLanguage => "No model reads this language",
            Self::RateLimited => "The key has been used too often",
            Self::Overloaded => "The server has more to do than it can",
            Self::NotReady => "The server is not ready",
            Self::Draining => "The server is going away",
            Self::StoreDisabled => "The server has no database",
            Self::StoreUnavailable => "The database or the model storage does not answer",
            Self::DeadlineExceeded => "The answer took too long",
            Self::Internal => "The server failed",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::AdminDisabled => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownModel => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidRequest
            | Self::EmptyText
            | Self::TextTooLong
            | Self::TooManyItems
            | Self::UnsupportedLanguage => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded
            | Self::NotReady
            | Self::Draining
            | Self::StoreDisabled
            | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Seconds after which trying again may help.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::RateLimited => Some(1),
            Self::NotReady | Self::Draining | Self::StoreDisabled | Self::StoreUnavailable => {
                Some(5)
            }
            Self::MalformedJson
            | Self::Unauthorized
            | Self::Forbidden
            | Self::AdminDisabled
            | Self::NotFound
            | Self::UnknownModel
            | Self::MethodNotAllowed
            | Self::RequestTimeout
            | Self::Conflict
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::InvalidRequest
            | Self::EmptyText
            | Self::TextTooLong
            | Self::TooManyItems
            | Self::UnsupportedLanguage
            | Self::DeadlineExceeded
            | Self::Internal => None,
        }
    }
}

/// Characters of a detail: what a client sent may be named in it, and may be as long as a body.
const DETAIL: usize = 2_000;

/// The beginning of a text that may be too long to be said.
pub(super) fn shortened(text: String, most: usize) -> String {
    // No text has more characters than bytes.
    if text.len() <= most {
        return text;
    }
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    /// In this case, for the client.
    pub detail: String,
    /// For `/readyz`: one for each trouble.
    pub reasons: Vec<String>,
    /// For the log alone.
    pub cause: Option<String>,
    /// Seconds after which trying again helps, where more is known of it than what the code says.
    pub retry_after: Option<u32>,
    /// For want of a place, and after all of the request had been read.
    pub turned_away: bool,
}

/// Goes with the answer to a request that was turned away for want of a place, after all of it had been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct TurnedAway;

impl Problem {
    /// With what to tell the client.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: shortened(detail.into(), DETAIL),
            reasons: Vec::new(),
            cause: None,
            retry_after: None,
            turned_away: false,
        }
    }

    /// A fault of the server: the client reads a fixed sentence and the log has the cause.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Code::Internal, INTERNAL)
        }
    }

    /// The body that the client reads; under `/v2` with the member `error` as well, which the Open Inference Protocol has.
    pub fn body(&self, request_id: &str, inference: bool) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: Code,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a str>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            reasons: &'a [String],
        }
        let shown = Shown {
            r#type: format!("/docs#{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            error: inference.then_some(&self.detail),
            reasons: &self.reasons,
        };
        // Strings and numbers always have a JSON form.
        serde_json::to_string(&shown).unwrap_or_default()
    }
}

/// What clients are told of a fault of the server.
pub const INTERNAL: &str = "an error inside the server; its log has more under this request's id";

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after.or_else(|| self.code.retry_after()) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if self.turned_away {
            response.extensions_mut().insert(TurnedAway);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Self {
        let code = match &error {
            RouteError::UnknownModel(_) => Code::UnknownModel,
            RouteError::UnsupportedLanguage(_) => Code::UnsupportedLanguage,
            RouteError::NotReady { .. } | RouteError::NoModels(_) => Code::NotReady,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ItemError> for Problem {
    fn from(error: ItemError) -> Self {
        let code = match error {
            ItemError::EmptyText => Code::EmptyText,
            ItemError::DeadlineExceeded => Code::DeadlineExceeded,
            ItemError::Failed => return Self::internal(error.to_string()),
        };
        Self::new(code, error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Url(_) | StoreError::Database(_) | StoreError::Migration(_) => Self {
                cause: Some(error.to_string()),
                ..Self::new(Code::StoreUnavailable, "the database does not answer")
            },
            StoreError::KeyReused(_) => Self::new(Code::Conflict, error.to_string()),
            StoreError::UnknownVersion { .. } => Self::new(Code::UnknownModel, error.to_string()),
            StoreError::Foreign { .. } | StoreError::LeaseLost(_) | StoreError::Outdated { .. } => {
                Self::internal(error.to_string())
            }
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::Url(_) | StorageError::Away(_) => Self {
                cause: Some(error.to_string()),
                ..Self::new(Code::StoreUnavailable, "the model storage does not answer")
            },
            StorageError::Missing(_) | StorageError::Damaged { .. } => {
                Self::new(Code::Conflict, error.to_string())
            }
            StorageError::Bundle(_) => Self::internal(error.to_string()),
        }
    }
}

impl From<SwapError> for Problem {
    fn from(error: SwapError) -> Self {
        let code = match &error {
            SwapError::Bundle(
                BundleError::UnknownModel { .. } | BundleError::UnknownVersion { .. },
            ) => Code::UnknownModel,
            SwapError::Bundle(_) => return Self::internal(error.to_string()),
            SwapError::Refused { .. } => Code::Conflict,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_server_keeps_its_cause_to_itself() {
        let problem = Problem::internal("table lock poisoned");
        let body = problem.body("r1", false);
        assert!(!body.contains("poisoned"), "{body}");
        assert!(
            body.contains(r#""code":"internal","request_id":"r1""#),
            "{body}"
        );
    }

    #[test]
    fn a_detail_is_never_as_long_as_what_was_sent() {
        let long = "\u{7f}".repeat(1 << 20);
        let problem = Problem::new(Code::UnknownModel, format!("no model {long:?}"));
        assert!(problem.body("r1", false).len() < 10 * DETAIL);
        assert_eq!(shortened("빨라요".to_owned(), 3), "빨라요");
        assert_eq!(shortened("빨라요".to_owned(), 2), "빨라...");
    }

    #[test]
    fn what_may_pass_says_when_to_try_again() {
        let response = Problem::new(Code::Overloaded, "full").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let response = Problem::new(Code::EmptyText, "empty").into_response();
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }
}
