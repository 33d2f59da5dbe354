//! A server of strings by key on jemalloc, for bench/heap: heap-server PORT. Each line "N" that comes in on its one
//! connection asks for N puts and gets of strings of some hundred bytes, and is answered with a line.
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEYS: u64 = 100_000;

#[inline(never)]
fn serve(store: &mut HashMap<String, Vec<u8>>, seed: &mut u64, n: u64) -> usize {
    let mut found = 0;
    for _ in 0..n {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let key = format!("key:{}", *seed % KEYS);
        found += store.get(&key).map_or(0, |value| value.clone().len());
        store.insert(key, vec![*seed as u8; 64 + (*seed >> 32) as usize % 512]);
    }
    found
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|p| p.parse::<u16>().ok()).expect("usage: heap-server PORT");
    let (mut stream, _) = TcpListener::bind(("127.0.0.1", port))?.accept()?;
    let mut store = HashMap::new();
    let mut seed = 88172645463325252;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let n = line?.trim().parse().unwrap_or(0);
        writeln!(stream, "{}", serve(&mut store, &mut seed, n))?;
    }
    Ok(())
}
