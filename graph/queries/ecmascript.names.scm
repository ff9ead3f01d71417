; References JavaScript and TypeScript share.

(call_expression function: (identifier) @call)
(call_expression function: (super) @call)
(call_expression function: (member_expression) @call.member)
(new_expression constructor: (identifier) @call)
(new_expression constructor: (member_expression) @call.member)
(member_expression) @member
(identifier) @name
(shorthand_property_identifier) @name

(variable_declarator name: (identifier) @skip)
(function_declaration name: (identifier) @skip)
(generator_function_declaration name: (identifier) @skip)
(import_specifier name: (identifier) @skip)
(import_specifier alias: (identifier) @skip)
(import_clause (identifier) @skip)
(namespace_import (identifier) @skip)
(export_specifier name: (identifier) @skip)
(export_specifier alias: (identifier) @skip)
