#!/usr/bin/env python3
"""Prints folded stacks as a program has them: N distinct ones, always the same for the same N.

Usage: stacks.py [N]"""

import random
import sys

LAYERS = [
    ["main", "start_thread", "_start;__libc_start_main;main"],
    ["ev_run", "Server::run()", "worker_loop", "std::thread::_State_impl<Invoker>::_M_run()"],
    ["handle_request", "Connection::on_readable()", "timer_tick", "flush_writes", "accept_client"],
    ["http::parse_headers(std::string_view)", "json::Value::parse(char const*, char const*)", "Router::dispatch(Request&)",
     "Cache<std::string, std::vector<unsigned char>>::lookup(std::string const&)", "sql_execute"],
    ["tokenize", "btree_search", "lru_touch", "render_template", "sqlite3VdbeExec", "memcpy_wrapper", "compress_block"],
    ["std::vector<int, std::allocator<int>>::push_back(int&&)", "pager_get", "utf8_decode", "deflate_fast",
     "regex_match_here", "hash_string"],
    ["longest_match", "malloc", "free", "__memmove_avx_unaligned_erms", "read", "writev", "futex_wait", "inflate"],
]
KERNEL = [
    "entry_SYSCALL_64_after_hwframe;do_syscall_64;ksys_read;vfs_read;ext4_file_read_iter;copy_to_user",
    "entry_SYSCALL_64_after_hwframe;do_syscall_64;__x64_sys_writev;sock_write_iter;tcp_sendmsg;tcp_write_xmit;ip_output",
    "asm_exc_page_fault;exc_page_fault;handle_mm_fault;do_anonymous_page;clear_page_erms",
    "entry_SYSCALL_64_after_hwframe;do_syscall_64;__x64_sys_futex;futex_wait;schedule;__schedule",
]


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    chance = random.Random(7)
    stacks = {}
    while len(stacks) < wanted:
        process = chance.choices(["nginx", "redis-server", "postgres", "python3", "kworker/0:1"], [5, 4, 3, 2, 1])[0]
        frames = [process]
        for depth, layer in enumerate(LAYERS):
            if depth > 2 and chance.random() < 0.12:
                break
            frames += chance.choices(layer, [1 / (i + 1) for i in range(len(layer))])[0].split(";")
            if depth > 3 and chance.random() < 0.3:
                frames.append(f"{frames[-1]}_step{chance.randrange(9)}")
        if chance.random() < 0.25:
            frames += chance.choice(KERNEL).split(";")
        if chance.random() < 0.03:
            frames = [process, "[truncated: no rows]"] + frames[-3:]
        key = ";".join(frames)
        if key not in stacks:
            stacks[key] = max(1, int(chance.paretovariate(1.1)))
    for stack, count in stacks.items():
        print(stack, min(count, 400))


main()
