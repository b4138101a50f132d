//! A list of devices as a spreadsheet writes it (C8Y-REG-02).
//!
//! What lives here: columns and rows. What does not: what becomes of a row
//! (`bulk`). Invariant: whatever the bytes are, each row comes out once, as a
//! device or with the reason why it is none.

use serde_json::{Map, Value};

use crate::ca::authority::{NewDevice, Origin};

use super::super::frame::problem::{Kind, Problem};

/// Rows of one list at most.
const ROWS: usize = 10_000;
/// Columns at most.
const COLUMNS: usize = 200;
/// Objects within each other that the name of a column may lead into.
const DEPTH: usize = 32;

/// How a device is to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// By a certificate.
    Certificate,
    /// By this password.
    Password(String),
}

/// A device of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) device: NewDevice,
    pub(super) proof: Proof,
    /// The tenant that the row names.
    pub(super) tenant: Option<String>,
}

/// A row of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    /// The row as it is shown to people: without its secrets.
    pub(super) line: String,
    pub(super) entry: Result<Entry, String>,
}

/// What a column is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Id,
    Credentials,
    AuthType,
    Tenant,
    Type,
    Name,
    OneTimePassword,
    /// What is kept of the registration, by its name.
    Registration(String),
    /// A property of the device, by its path.
    Property(String),
}

impl Column {
    fn named(name: &str) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "ID" => Self::Id,
            "CREDENTIALS" => Self::Credentials,
            "AUTH_TYPE" => Self::AuthType,
            "TENANT" => Self::Tenant,
            "TYPE" => Self::Type,
            "NAME" => Self::Name,
            "ENROLLMENT_OTP" => Self::OneTimePassword,
            upper @ ("ICCID" | "IDTYPE" | "PATH" | "SHELL") => Self::Registration(upper.to_owned()),
            _ if name.starts_with("external-") => Self::Registration(name.to_owned()),
            _ => Self::Property(name.to_owned()),
        }
    }

    /// Whoever reads its JSON does so by descending.
    fn leads_too_deep(&self) -> bool {
        matches!(self, Self::Property(path) if path.split('.').nth(DEPTH).is_some())
    }

    const fn is_secret(&self) -> bool {
        matches!(self, Self::Credentials | Self::OneTimePassword)
    }
}

/// Reads a list.
///
/// # Errors
/// It is no list of devices at all.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Row>, Problem> {
    let invalid = |message: String| Problem::in_field(Kind::Invalid, "file", message);
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("the file is no text in UTF-8".into()))?;
    let separator = separator(text);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let names = reader.headers().map_err(|error| invalid(format!("the file is no CSV: {error}")))?;
    let columns: Vec<Column> = names.iter().map(Column::named).collect();
    if !columns.contains(&Column::Id) || columns.len() > COLUMNS {
        let message = format!("the first line has to name the columns: ID among them, {COLUMNS} at most");
        return Err(invalid(message));
    }
    if let Some(deep) = columns.iter().position(Column::leads_too_deep) {
        let message = format!("the name of column {} leads through more than {DEPTH} objects", deep + 1);
        return Err(invalid(message));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        if rows.len() == ROWS {
            return Err(invalid(format!("the file has more than {ROWS} rows; send it in several pieces")));
        }
        let record = record.map_err(|error| invalid(format!("the file is no CSV: {error}")))?;
        if record.iter().any(|field| !field.is_empty()) {
            rows.push(row(&columns, &record, char::from(separator)));
        }
    }
    Ok(rows)
}

/// Tab, semicolon or comma: whichever the first line has most of.
fn separator(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |separator: u8| first.bytes().filter(|byte| *byte == separator).count();
    [b'\t', b';', b','].into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

fn row(columns: &[Column], record: &csv::StringRecord, separator: char) -> Row {
    let fields: Vec<(&Column, &str)> = columns.iter().zip(record.iter()).collect();
    let shown = |(column, field): &(&Column, &str)| {
        if column.is_secret() && !field.is_empty() { "***".to_owned() } else { (*field).to_owned() }
    };
    let line = fields.iter().map(shown).collect::<Vec<_>>().join(&separator.to_string());
    let text = |wanted: &Column| {
        let found = fields.iter().find(|(column, field)| *column == wanted && !field.is_empty());
        found.map(|(_, field)| (*field).to_owned())
    };
    let id = text(&Column::Id).unwrap_or_default();
    let proof = proof(text(&Column::AuthType), text(&Column::Credentials), text(&Column::OneTimePassword).is_some());
    let surplus = (record.len() > columns.len()).then(|| "the row has more fields than there are columns".to_owned());
    let no_id = id.is_empty().then(|| "ID is missing".to_owned());
    let entry = match (no_id.or(surplus), proof) {
        (Some(reason), _) | (None, Err(reason)) => Err(reason),
        (None, Ok(proof)) => Ok(Entry {
            device: NewDevice {
                id: id.clone(),
                origin: Origin::Bulk,
                kind: text(&Column::Type),
                name: text(&Column::Name),
                properties: properties(&fields),
            },
            proof,
            tenant: text(&Column::Tenant),
        }),
    };
    Row { id, line, entry }
}

fn proof(way: Option<String>, credentials: Option<String>, has_one_time_password: bool) -> Result<Proof, String> {
    if has_one_time_password {
        return Err("ENROLLMENT_OTP is not taken here; make an enrolment token over the API".to_owned());
    }
    match (way.unwrap_or_else(|| "BASIC".to_owned()).to_ascii_uppercase().as_str(), credentials) {
        ("CERTIFICATES", None) => Ok(Proof::Certificate),
        ("CERTIFICATES", Some(_)) => Err("CREDENTIALS have to be empty where AUTH_TYPE is CERTIFICATES".to_owned()),
        ("BASIC", Some(password)) => Ok(Proof::Password(password)),
        ("BASIC", None) => Err("CREDENTIALS are missing; AUTH_TYPE BASIC needs a password".to_owned()),
        (other, _) => Err(format!("AUTH_TYPE is {other:?}; write BASIC or CERTIFICATES")),
    }
}

/// All that is said of the device besides, as JSON; dots in a column's name
/// lead into objects.
fn properties(fields: &[(&Column, &str)]) -> Option<String> {
    let mut all = Map::new();
    for (column, field) in fields.iter().filter(|(_, field)| !field.is_empty()) {
        match column {
            Column::Registration(name) => put(&mut all, &["registration", name], field),
            Column::Property(path) => put(&mut all, &path.split('.').collect::<Vec<_>>(), field),
            _ => {}
        }
    }
    (!all.is_empty()).then(|| Value::Object(all).to_string())
}

/// Columns contradict each other where one needs an object in which another
/// has a text: the later one is kept.
fn put(object: &mut Map<String, Value>, path: &[&str], field: &str) {
    match path {
        [] => {}
        [name] => drop(object.insert((*name).to_owned(), Value::from(field))),
        [name, rest @ ..] => {
            let inner = object.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, field);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reasons(text: &str) -> Vec<Result<Proof, String>> {
        read(text.as_bytes()).unwrap().into_iter().map(|row| row.entry.map(|entry| entry.proof)).collect()
    }

    #[test]
    fn the_list_of_the_original_is_read_whatever_separates_it() {
        for separator in [";", ",", "\t"] {
            let text = "\u{feff}ID;AUTH_TYPE;TYPE;NAME;com_cumulocity_model_Agent.active\r\n\
                        pump-0042;CERTIFICATES;c8y_Pump;\"Pump, hall; 3\";true\r\n\r\n";
            let text = text.replace(';', separator).replace(&format!("hall{separator} 3"), "hall 3");
            let rows = read(text.as_bytes()).unwrap();
            assert_eq!(rows.len(), 1, "{text:?}");
            let entry = rows[0].entry.clone().unwrap();
            assert_eq!((entry.device.id.as_str(), entry.proof), ("pump-0042", Proof::Certificate));
            assert_eq!(entry.device.name.as_deref(), Some("Pump, hall 3"));
            let properties = entry.device.properties.unwrap();
            assert_eq!(properties, r#"{"com_cumulocity_model_Agent":{"active":"true"}}"#);
        }
    }

    #[test]
    fn a_row_that_cannot_be_is_told_by_itself_and_its_password_is_not_shown() {
        let text = "ID,AUTH_TYPE,CREDENTIALS,ENROLLMENT_OTP\n\
                    a,CERTIFICATES,secret99,\nb,,secret,\nc,,,\nd,MAGIC,,\n,CERTIFICATES,,\ne,,secret,one,more\nf,,,otp\n";
        let proofs = reasons(text);
        assert_eq!(proofs[1], Ok(Proof::Password("secret".into())));
        assert_eq!(proofs.iter().filter(|proof| proof.is_err()).count(), 6);
        let rows = read(text.as_bytes()).unwrap();
        assert!(rows.iter().all(|row| !row.line.contains("secret") && !row.line.contains("otp")), "{rows:?}");
        assert_eq!(rows[0].line, "a,CERTIFICATES,***,");
    }

    #[test]
    fn what_is_no_list_of_devices_is_refused_as_a_whole() {
        for bytes in [&b""[..], b"NAME;TYPE\nx;y\n", b"ID\n\xff\xfe\n"] {
            assert_eq!(read(bytes).unwrap_err().field.as_deref(), Some("file"), "{bytes:?}");
        }
        let long = format!("ID\n{}", "x\n".repeat(ROWS + 1));
        assert!(read(long.as_bytes()).unwrap_err().message.contains("10000"));
    }

    /// The dots of a column's name lead into objects, and a million of them led out of the stack.
    #[test]
    fn a_column_that_leads_too_deep_is_refused_and_one_that_leads_just_so_deep_is_read_again() {
        let list = |dots: usize| format!("ID,AUTH_TYPE,a{}\nx,CERTIFICATES,1\n", ".a".repeat(dots));
        let rows = read(list(DEPTH - 1).as_bytes()).unwrap();
        let properties = rows[0].entry.clone().unwrap().device.properties.unwrap();
        assert!(serde_json::from_str::<Value>(&properties).is_ok(), "{properties}");
        for dots in [1_000_000, DEPTH] {
            let problem = read(list(dots).as_bytes()).unwrap_err();
            assert!(problem.message.contains("column 3") && problem.message.contains("32"), "{}", problem.message);
        }
    }

    #[test]
    fn contradicting_columns_break_nothing() {
        let rows = read(b"ID,AUTH_TYPE,a,a.b,a,..\nx,CERTIFICATES,1,2,3,4\n").unwrap();
        assert!(rows[0].entry.is_ok());
    }

    /// A field as it may stand in a spreadsheet: no blank at its ends, which would be trimmed.
    const FIELD: &str = "([a-z0-9\"',;\t\u{e9}-]([a-z \"',;\t\r\n]{0,6}[a-z0-9\"',;\u{e9}-])?)?";

    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_list_or_is_refused(
            head in prop::option::of(prop::sample::select(vec!["ID;CREDENTIALS\n", "ID,AUTH_TYPE,NAME\n", "ID\ta.b\ta\n"])),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [head.unwrap_or_default().as_bytes(), &rest].concat();
            match read(&bytes) {
                Ok(rows) => prop_assert!(rows.len() <= bytes.iter().filter(|&&byte| matches!(byte, b'\n' | b'\r')).count() + 1),
                Err(problem) => prop_assert_eq!(problem.field.as_deref(), Some("file")),
            }
        }

        #[test]
        fn each_row_comes_out_once_as_it_was_written(
            separator in prop::sample::select(vec![';', ',', '\t']),
            rows in prop::collection::vec(("[a-z][a-z0-9-]{0,8}", "[a-z]{8,12}", FIELD), 0..12),
        ) {
            let mut text = ["ID", "CREDENTIALS", "AUTH_TYPE", "NAME"].join(&separator.to_string());
            for (id, password, name) in &rows {
                let fields = [id, password, "BASIC", name].map(quoted);
                text = format!("{text}\r\n{}", fields.join(&separator.to_string()));
            }
            let found = read(text.as_bytes()).unwrap();
            prop_assert_eq!(found.len(), rows.len());
            for (found, (id, password, name)) in found.into_iter().zip(rows) {
                let entry = found.entry.unwrap();
                prop_assert_eq!((&found.id, &entry.device.id), (&id, &id));
                prop_assert_eq!(entry.proof, Proof::Password(password.clone()));
                prop_assert_eq!(entry.device.name.unwrap_or_default(), name.trim());
                prop_assert!(found.line.split(separator).nth(1) == Some("***"), "{}", found.line);
            }
        }
    }
}
