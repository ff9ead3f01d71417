; What JavaScript and TypeScript share: definitions, imports, exports. Captures: see backstory/graph/parse.py.

(function_declaration name: (identifier) @name body: (_) @body) @function
(generator_function_declaration name: (identifier) @name body: (_) @body) @function
(method_definition name: (_) @name body: (_) @body) @function

(variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body) (generator_function body: (_) @body)]) @function
(variable_declarator name: (identifier) @name value: (class body: (_) @body)) @class
(variable_declarator name: (identifier) @name value: (object)) @scope
(pair key: (property_identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function
(assignment_expression left: (member_expression object: (_) @owner property: (property_identifier) @name)
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function
(assignment_expression left: (member_expression object: (_) @owner property: (property_identifier) @name)
  right: (class body: (_) @body)) @class

; An anonymous default export has no @name: it is called "default".
(export_statement value: [(arrow_function body: (_) @body) (function_expression !name body: (_) @body)]) @function
(export_statement value: (class !name body: (_) @body)) @class
(export_statement value: (function_expression name: (identifier) @name body: (_) @body) @function)

(export_statement declaration: (_) @wrapped) @wrapper
(export_statement value: (_) @wrapped) @wrapper
(lexical_declaration . (variable_declarator) @wrapped .) @wrapper
(variable_declaration . (variable_declarator) @wrapped .) @wrapper
(expression_statement (assignment_expression) @wrapped) @wrapper

((comment) @doc (#match? @doc "^/\\*\\*"))

(import_statement (import_clause (identifier) @import.alias) source: (string (string_fragment) @import.module) @import.default) @import
(import_statement (import_clause (named_imports (import_specifier name: (_) @import.name !alias)))
  source: (string (string_fragment) @import.module)) @import
(import_statement (import_clause (named_imports (import_specifier name: (_) @import.name alias: (identifier) @import.alias)))
  source: (string (string_fragment) @import.module)) @import
(import_statement (import_clause (namespace_import (identifier) @import.alias)) source: (string (string_fragment) @import.module)) @import
(import_statement . "import" . source: (string (string_fragment) @import.module)) @import

(variable_declarator name: (identifier) @import.alias
  value: (call_expression function: (identifier) @require arguments: (arguments . (string (string_fragment) @import.module)))
  (#eq? @require "require")) @import
(variable_declarator name: (object_pattern (shorthand_property_identifier_pattern) @import.name)
  value: (call_expression function: (identifier) @require arguments: (arguments . (string (string_fragment) @import.module)))
  (#eq? @require "require")) @import
(variable_declarator name: (object_pattern (pair_pattern key: (property_identifier) @import.name value: (identifier) @import.alias))
  value: (call_expression function: (identifier) @require arguments: (arguments . (string (string_fragment) @import.module)))
  (#eq? @require "require")) @import
(expression_statement (call_expression function: (identifier) @require arguments: (arguments . (string (string_fragment) @import.module)))
  (#eq? @require "require")) @import
(call_expression function: (import) arguments: (arguments . (string (string_fragment) @import.module))) @import

(export_statement (export_clause (export_specifier name: (_) @import.name !alias))
  source: (string (string_fragment) @import.module)) @import
(export_statement (export_clause (export_specifier name: (_) @import.name alias: (_) @import.alias))
  source: (string (string_fragment) @import.module)) @import
(export_statement "*" @import.star source: (string (string_fragment) @import.module)) @import
(export_statement (namespace_export (_) @import.alias) source: (string (string_fragment) @import.module)) @import

(export_statement value: (identifier) @export.local) @export
(export_statement "default" declaration: (_ name: (_) @export.local)) @export
(export_statement "default" value: (_ name: (_) @export.local)) @export
(export_statement !source (export_clause (export_specifier name: (_) @export.local !alias) @export.same)) @export
(export_statement !source (export_clause (export_specifier name: (_) @export.local alias: (_) @export.name))) @export
(assignment_expression left: (member_expression) @exported right: (identifier) @export.local
  (#eq? @exported "module.exports")) @export
(assignment_expression left: (member_expression) @exported right: (object (shorthand_property_identifier) @export.local @export.same)
  (#eq? @exported "module.exports")) @export
(assignment_expression left: (member_expression) @exported
  right: (object (pair key: (property_identifier) @export.name value: (identifier) @export.local))
  (#eq? @exported "module.exports")) @export
(assignment_expression left: (member_expression object: (_) @exported property: (property_identifier) @export.name)
  right: (identifier) @export.local (#match? @exported "^(module[.])?exports$")) @export

(variable_declarator name: (identifier) @typed value: (new_expression constructor: [(identifier) (member_expression)] @type))
(assignment_expression left: [(identifier) (member_expression)] @typed
  right: (new_expression constructor: [(identifier) (member_expression)] @type))
(variable_declarator name: (identifier) @typed
  value: [(call_expression function: (_) @made) (await_expression (call_expression function: (_) @made))])
