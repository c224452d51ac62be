//! One request and one answer of HTTP on a connection: as much of HTTP as a scrape needs.

use httparse::{EMPTY_HEADER, Request, Status};
use std::io::{self, Read, Write};

/// The longest request in bytes, without a body.
pub(super) const REQUEST_LEN_MAX: usize = 4096;
/// The most lines of its head.
const HEADERS_MAX: usize = 32;
/// How many bytes after a request are read and dropped, so that the answer arrives.
const REST_MAX: u64 = 64 * 1024;

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Response {
    pub(super) fn text(status: &'static str, body: impl Into<String>) -> Self {
        let mut body = body.into();
        body.push('\n');
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }
}

/// Reads a request, and writes what `answer` returns for its path. The errors are those of the connection.
pub(super) fn serve(mut stream: impl Read + Write, answer: impl FnOnce(&str) -> Response) -> io::Result<()> {
    let mut head = Vec::new();
    let (response, with_body) = loop {
        let mut part = [0; 1024];
        let len = part.len().min(REQUEST_LEN_MAX + 1 - head.len());
        match stream.read(&mut part[..len])? {
            0 => return Ok(()),
            read => head.extend_from_slice(&part[..read]),
        }
        match path(&head) {
            Ok(Some((path, with_body))) => break (answer(&path), with_body),
            Ok(None) if head.len() <= REQUEST_LEN_MAX => {}
            Ok(None) => break (Response::text("431 Request Header Fields Too Large", "the request is too long"), true),
            Err(refusal) => break (refusal, true),
        }
    };
    write(&mut stream, &response, with_body)
}

/// Drops all incoming bytes until the other side ends.
pub(super) fn drain(stream: impl Read) {
    // The other side has its answer; errors no longer matter.
    let _ = io::copy(&mut stream.take(REST_MAX), &mut io::sink());
}

/// The path of a request, and whether the body is wanted. `None` until the request is complete.
fn path(head: &[u8]) -> Result<Option<(String, bool)>, Response> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(len)) if len <= REQUEST_LEN_MAX => {}
        Ok(Status::Complete(_) | Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::text("431 Request Header Fields Too Large", "the request has too many lines"));
        }
        Err(_) => return Err(Response::text("400 Bad Request", "this is no request of HTTP/1.1")),
    }
    let with_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Err(Response::text("405 Method Not Allowed\r\nAllow: GET, HEAD", "there is nothing but GET here")),
    };
    let target = request.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Ok(Some((path.to_owned(), with_body)))
}

fn write(stream: &mut impl Write, response: &Response, with_body: bool) -> io::Result<()> {
    let Response { status, content_type, body } = response;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let mut whole = head.into_bytes();
    if with_body {
        whole.extend_from_slice(body.as_bytes());
    }
    stream.write_all(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A connection on which these bytes come, in pieces of this length.
    struct Wire<'a> {
        from: Cursor<&'a [u8]>,
        at_once: usize,
        to: Vec<u8>,
    }

    impl Read for Wire<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = buf.len().min(self.at_once);
            self.from.read(&mut buf[..len])
        }
    }

    impl Write for Wire<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.to.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn answer(request: &[u8], at_once: usize) -> String {
        let mut wire = Wire { from: Cursor::new(request), at_once, to: Vec::new() };
        serve(&mut wire, |path| Response::text("200 OK", format!("this is {path}"))).expect("no error of the wire");
        String::from_utf8(wire.to).expect("text")
    }

    #[test]
    fn a_request_is_answered_however_its_bytes_come() {
        let request = b"GET /metrics?x=1 HTTP/1.1\r\nHost: here\r\n\r\n";
        for at_once in [1, 7, 1000] {
            let said = answer(request, at_once);
            assert!(said.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain"), "{said}");
            assert!(
                said.contains("\r\nContent-Length: 17\r\n") && said.ends_with("\r\n\r\nthis is /metrics\n"),
                "{said}"
            );
        }
        let said = answer(b"HEAD /metrics HTTP/1.0\r\n\r\n", 9);
        assert!(said.contains("\r\nContent-Length: 17\r\n") && said.ends_with("\r\n\r\n"), "{said}");
    }

    #[test]
    fn bytes_that_are_no_request_for_a_page_are_refused() {
        for (request, status) in [
            (&b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"[..], "405 Method Not Allowed"),
            (b"\x16\x03\x01\x02\x00\x01\x00", "400 Bad Request"),
            (b"GET  HTTP/9\r\n\r\n", "400 Bad Request"),
        ] {
            let said = answer(request, 1000);
            assert!(said.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{said}");
        }
        assert_eq!(answer(b"GET /metrics HT", 1000), "", "it ended in the middle");
    }

    #[test]
    fn a_request_of_the_most_bytes_is_answered_and_one_more_is_refused() {
        let request = |len: usize| {
            let frame = "GET / HTTP/1.1\r\nX: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(len - frame)).into_bytes()
        };
        assert!(answer(&request(REQUEST_LEN_MAX), 1000).starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(answer(&request(REQUEST_LEN_MAX + 1), 1000).starts_with("HTTP/1.1 431 "));
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(count)).into_bytes();
        assert!(answer(&lines(HEADERS_MAX), 1000).starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(answer(&lines(HEADERS_MAX + 1), 1000).starts_with("HTTP/1.1 431 "));
    }
}
