//! What a starting server prints, once it is ready: at most 12 lines, the first `http://...` of which is the address
//! that is listened on.

use std::net::SocketAddr;
use std::path::Path;

/// The banner's text.
pub fn banner(listening: SocketAddr, data: &Path) -> String {
    // A folder is worth most where it can be pasted from.
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    format!(
        "\
Spanlake {version} is ready: http://{listening}

  data    {data}
  takes   Zipkin JSON v2 at /api/v2/spans, v1 at /api/v1/spans, ATS at /v1/<project>/ats/spans
  gives   /api/v2/trace/<id>, /v1/<project>/ats/spans?traceId=<id>; health at /health
  SQL     spanlake sql --data '{data}' \"select * from traces\"

  try     curl -i http://{listening}/api/v2/spans -d '[{{\"traceId\":\"27046b00\",\"id\":\"1\",\"name\":\"hello\"}}]'
  then    http://{listening}/api/v2/trace/27046b00
",
        version = env!("CARGO_PKG_VERSION"),
        data = data.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_is_short_and_names_address_folder_and_a_line_to_try() {
        let text = banner("127.0.0.1:1234".parse().unwrap(), Path::new("/data"));
        assert!(text.lines().count() <= 12, "{text}");
        let address = text.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        assert_eq!(address, "http://127.0.0.1:1234");
        assert!(text.contains("  data    /data\n"));
        assert!(text.contains("curl -i http://127.0.0.1:1234/api/v2/spans -d '[{"));
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert!(banner("[::1]:9411".parse().unwrap(), Path::new("/d")).contains("http://[::1]:9411\n"));
    }
}
