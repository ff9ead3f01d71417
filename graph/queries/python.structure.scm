; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(class_definition name: (identifier) @name body: (block) @body) @class
(function_definition name: (identifier) @name body: (block) @body) @function
(decorated_definition definition: (_) @wrapped) @wrapper

(class_definition body: (block . (expression_statement . (string) @doc)))
(function_definition body: (block . (expression_statement . (string) @doc)))

(import_statement name: (dotted_name) @import.module) @import
(import_statement name: (aliased_import name: (dotted_name) @import.module alias: (identifier) @import.alias)) @import
(import_from_statement module_name: (_) @import.module name: (dotted_name) @import.name) @import
(import_from_statement module_name: (_) @import.module
  name: (aliased_import name: (dotted_name) @import.name alias: (identifier) @import.alias)) @import
(import_from_statement module_name: (_) @import.module (wildcard_import) @import.star) @import

(assignment left: [(identifier) (attribute)] @typed right: [(call function: (_) @made) (await (call function: (_) @made))])
(assignment left: [(identifier) (attribute)] @typed type: (type) @type)
(typed_parameter . (identifier) @typed type: (type) @type)
(typed_default_parameter name: (identifier) @typed type: (type) @type)
(function_definition name: (identifier) @returns return_type: (type) @type)
(with_item value: (as_pattern (call function: (_) @made) alias: (as_pattern_target (identifier) @typed)))
(class_definition body: (block (expression_statement (assignment left: (identifier) @typed.own type: (type) @type))))
