// SPDX-License-Identifier: Apache-2.0
//! Counts words, in Rust, with nothing but the tables of the SDK: no C is
//! compiled, and no crate is needed.  The structs say what the headers say, as
//! far as this plugin uses them; a crate would generate all of them.
//!
//! Build with -C panic=abort: no panic may leave a function of the plugin.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::raw::{c_char, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicPtr, Ordering};

#[repr(C)]
pub struct Call {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Json {
    _private: [u8; 0],
}

/// struct as_json_host, up to put_int.
#[repr(C)]
pub struct JsonHost {
    size: u32,
    reserved: u32,
    kind: extern "C" fn(*const Json) -> i32,
    get: extern "C" fn(*const Json, *const c_char) -> *const Json,
    text_of: extern "C" fn(*const Json, *mut usize) -> *const c_char,
    integer: *const c_void,
    num: *const c_void,
    count: *const c_void,
    next: *const c_void,
    parse: *const c_void,
    print: *const c_void,
    make: extern "C" fn(*mut Call, i32) -> *mut Json,
    put_str: extern "C" fn(*mut Json, *const c_char, *const u8, usize),
    put_int: extern "C" fn(*mut Json, *const c_char, i64),
}

/// struct as_toolkit_host, up to reply.
#[repr(C)]
pub struct ToolkitHost {
    size: u32,
    reserved: u32,
    reply: extern "C" fn(*mut Call, *const Json) -> i32,
}

/// struct as_host, up to toolkit.
#[repr(C)]
pub struct Host {
    size: u32,
    major: u16,
    minor: u16,
    version: *const c_char,
    json: *const JsonHost,
    toolkit: *const ToolkitHost,
}

#[repr(C)]
struct Tool {
    name: *const c_char,
    doc: *const c_char,
    params: *const c_void,
    params_size: u32,
    flags: u32,
    schema: *const c_char,
    result_schema: *const c_char,
    effect: i32,
    timeout_ms: u32,
    key_valid_ms: i64,
    run: Option<extern "C" fn(*mut Call, *const c_void) -> i32>,
    verify: Option<extern "C" fn(*mut Call, *const c_void) -> i32>,
    effect_by: *const c_char,
    effects: *const c_void,
}

#[repr(C)]
struct Toolkit {
    size: u32,
    tool_size: u32,
    title: *const c_char,
    tools: *const Tool,
    others: [*const c_void; 6],
}

#[repr(C)]
pub struct Plugin {
    magic: u32,
    major: u16,
    minor: u16,
    size: u32,
    field_size: u32,
    name: *const c_char,
    summary: *const c_char,
    version: *const c_char,
    flags: u32,
    conf_size: u32,
    options: *const c_void,
    grants: *const c_char,
    toolkit: *const Toolkit,
    others: [*const c_void; 8],
}

// The tables are written once, before the first call.
unsafe impl Sync for Tool {}
unsafe impl Sync for Toolkit {}
unsafe impl Sync for Plugin {}

const JSON_OBJECT: i32 = 7;
const EFFECT_NONE: i32 = 1;
const PARALLEL: u32 = 1;
const FIELD_SIZE: u32 = 64;

static HOST: AtomicPtr<Host> = AtomicPtr::new(std::ptr::null_mut());

macro_rules! c {
    ($text:expr) => {
        concat!($text, "\0").as_ptr() as *const c_char
    };
}

/// The text that stands under a name; the host has checked that it is one.
fn text<'a>(json: &JsonHost, of: *const Json, name: *const c_char) -> &'a str {
    let value = (json.text_of)((json.get)(of, name), std::ptr::null_mut());
    if value.is_null() {
        return "";
    }
    unsafe { CStr::from_ptr(value) }.to_str().unwrap_or("")
}

extern "C" fn count(call: *mut Call, args: *const c_void) -> i32 {
    let host = unsafe { &*HOST.load(Ordering::Acquire) };
    let (json, toolkit) = unsafe { (&*host.json, &*host.toolkit) };
    let text = text(json, args as *const Json, c!("text"));
    let longest = text.split_whitespace().max_by_key(|w| w.chars().count());
    let result = (json.make)(call, JSON_OBJECT);
    let words = text.split_whitespace().count() as i64;

    (json.put_int)(result, c!("words"), words);
    (json.put_int)(result, c!("letters"), text.chars().count() as i64);
    if let Some(word) = longest {
        (json.put_str)(result, c!("longest"), word.as_ptr(), word.len());
    }
    (toolkit.reply)(call, result)
}

static TOOLS: [Tool; 2] = [
    Tool {
        name: c!("count"),
        doc: c!("Counts the words and letters of a text."),
        params: null(),
        params_size: 0,
        flags: 0,
        schema: c!(r#"{"type": "object", "required": ["text"],
            "properties": {"text": {"type": "string",
                "description": "The text."}},
            "additionalProperties": false}"#),
        result_schema: c!(r#"{"type": "object", "required": ["words"]}"#),
        effect: EFFECT_NONE,
        timeout_ms: 0,
        key_valid_ms: 0,
        run: Some(count),
        verify: None,
        effect_by: null(),
        effects: null(),
    },
    Tool {
        name: null(),
        doc: null(),
        params: null(),
        params_size: 0,
        flags: 0,
        schema: null(),
        result_schema: null(),
        effect: 0,
        timeout_ms: 0,
        key_valid_ms: 0,
        run: None,
        verify: None,
        effect_by: null(),
        effects: null(),
    },
];

static TOOLKIT: Toolkit = Toolkit {
    size: size_of::<Toolkit>() as u32,
    tool_size: size_of::<Tool>() as u32,
    title: c!("Words"),
    tools: &TOOLS as *const Tool,
    others: [null(); 6],
};

static PLUGIN: Plugin = Plugin {
    magic: 0x31445341,
    major: 1,
    minor: 0,
    size: size_of::<Plugin>() as u32,
    field_size: FIELD_SIZE,
    name: c!("toolkit_words_rs"),
    summary: c!("Counts words."),
    version: c!("1.0.0"),
    flags: PARALLEL,
    conf_size: 0,
    options: null(),
    grants: null(),
    toolkit: &TOOLKIT,
    others: [null(); 8],
};

#[no_mangle]
pub extern "C" fn as_plugin_entry(host: *mut Host) -> *const Plugin {
    HOST.store(host, Ordering::Release);
    &PLUGIN
}
